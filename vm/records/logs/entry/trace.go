package entry

import "bytes"

// trace is the kind of stack trace that the entry before may be.
type trace int

const (
	traceNone   trace = iota
	traceJava         // also of JavaScript and .NET: frames begin with "at"
	tracePython       // in the list of frames
	tracePythonEnd
	traceGo
)

// begins returns the kind of trace of an entry that begins with line.
func begins(line []byte) trace {
	switch {
	case bytes.HasPrefix(line, []byte("Traceback (most recent call last):")):
		return tracePython
	case bytes.HasPrefix(line, []byte("panic: ")), bytes.HasPrefix(line, []byte("fatal error: ")), isGoroutine(line),
		bytes.Contains(line, []byte("http: panic serving ")):
		return traceGo
	default:
		return traceNone
	}
}

// continues reports whether line belongs to the entry before it, whose trace was of
// the given kind, and returns the kind from there on.
func continues(kind trace, line []byte) (trace, bool) {
	// A frame belongs to the line before it, whatever that is.
	if isFrame(line) && kind != tracePython && kind != traceGo {
		return traceJava, true
	}
	switch kind {
	case traceJava:
		return traceJava, isJava(line)
	case tracePython:
		if isIndented(line) || len(bytes.TrimSpace(line)) == 0 {
			return tracePython, true
		}
		return tracePythonEnd, true // "ValueError: …"
	case tracePythonEnd:
		return afterPython(line)
	case traceGo:
		return traceGo, isGo(line)
	default:
		return traceNone, false
	}
}

func isIndented(line []byte) bool { return len(line) > 0 && (line[0] == ' ' || line[0] == '\t') }

// isFrame recognizes "\tat com.example.Main.run(Main.java:12)" and "    at f (a.js:1:2)".
func isFrame(line []byte) bool {
	rest := bytes.TrimLeft(line, " \t")
	return len(rest) < len(line) && bytes.HasPrefix(rest, []byte("at ")) && len(rest) > len("at ")
}

// isJava recognizes the other lines of a trace of Java and .NET.
func isJava(line []byte) bool {
	if isFrame(line) || bytes.HasPrefix(line, []byte("Caused by: ")) {
		return true
	}
	rest := bytes.TrimLeft(line, " \t")
	return len(rest) < len(line) && (bytes.HasPrefix(rest, []byte("... ")) || bytes.HasPrefix(rest, []byte("Suppressed: ")) ||
		bytes.HasPrefix(rest, []byte("Caused by: ")) || bytes.HasPrefix(rest, []byte("--- ")))
}

// afterPython recognizes what follows the last line of a trace: the next one of a
// chain of exceptions.
func afterPython(line []byte) (trace, bool) {
	switch {
	case len(bytes.TrimSpace(line)) == 0,
		bytes.HasPrefix(line, []byte("During handling of the above exception,")),
		bytes.HasPrefix(line, []byte("The above exception was the direct cause")):
		return tracePythonEnd, true
	case bytes.HasPrefix(line, []byte("Traceback (most recent call last):")):
		return tracePython, true
	default:
		return traceNone, false
	}
}

// isGo recognizes the lines that follow "panic: …" or "goroutine 1 [running]:".
func isGo(line []byte) bool {
	return len(line) == 0 || line[0] == '\t' || isGoroutine(line) ||
		bytes.HasPrefix(line, []byte("[signal ")) || bytes.HasPrefix(line, []byte("created by ")) ||
		bytes.HasPrefix(line, []byte("panic: ")) || bytes.HasPrefix(line, []byte("exit status ")) ||
		bytes.HasPrefix(line, []byte("goroutine running on other thread")) ||
		bytes.HasPrefix(line, []byte("...additional frames elided...")) || isGoFunction(line)
}

// isGoroutine recognizes "goroutine 12 [running]:".
func isGoroutine(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("goroutine "))
	if !ok {
		return false
	}
	digits := bytes.TrimLeft(rest, "0123456789")
	return len(digits) < len(rest) && bytes.HasPrefix(digits, []byte(" [")) || bytes.HasPrefix(digits, []byte(" gp="))
}

// isGoFunction recognizes "main.(*T).run(0xc000010000, {0x1, 0x2})".
func isGoFunction(line []byte) bool {
	if !bytes.HasSuffix(line, []byte(")")) || bytes.HasPrefix(line, []byte("{")) {
		return false
	}
	name, _, ok := bytes.Cut(line, []byte("("))
	return ok && len(name) > 0 && bytes.IndexByte(name, '.') > 0 && !bytes.ContainsAny(name, " \t=:\"'")
}
