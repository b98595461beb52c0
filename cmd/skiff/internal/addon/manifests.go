package addon

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/skiff-dev/skiff/kube"
)

// readDirectory reads the manifests in a directory and below it, in the order of their
// names. Hidden files and directories are left out.
func readDirectory(dir string, left *int64) ([]object, error) {
	var all []object
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", path, withoutPath(err))
		case path != dir && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return checkSubdirectory(dir, path)
		case !isManifest(path):
			return nil
		}
		found, err := readManifests(path, left)
		all = append(all, found...)
		return err
	})
	return all, err
}

// checkSubdirectory returns an error for a directory whose files are no manifests.
func checkSubdirectory(dir, path string) error {
	if path == dir {
		return nil
	}
	if hasKustomization(path) || exists(filepath.Join(path, "Chart.yaml")) {
		return fmt.Errorf("%s is a kustomization or a chart: make it an addon of its own", path)
	}
	return nil
}

func isManifest(path string) bool {
	switch filepath.Ext(path) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// readManifests reads the objects of a file.
func readManifests(path string, left *int64) ([]object, error) {
	content, err := readBounded(path, left)
	if err != nil {
		return nil, err
	}
	return parse(path, content)
}

// readBounded reads a file of at most left bytes, and takes them from left.
func readBounded(path string, left *int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a file")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, withoutPath(err))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, withoutPath(err))
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, *left+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, withoutPath(err))
	}
	if *left -= int64(len(content)); *left < 0 {
		return nil, fmt.Errorf("%s: addons are larger than %d MiB", path, maxBytes>>20)
	}
	return content, nil
}

// parse reads the objects of a manifest. place begins the errors.
func parse(place string, content []byte) ([]object, error) {
	var all []object
	for _, d := range documents(content) {
		found, err := kube.ParseObjects(d.content)
		if err != nil {
			return nil, at(place, d, err)
		}
		for _, o := range found {
			all = append(all, object{o, fmt.Sprintf("%s:%d", place, d.first())})
		}
	}
	return all, nil
}

// document is a YAML document of a file.
type document struct {
	line    int // of its first line
	content []byte
}

// first returns the line of the first line that is neither empty nor a comment.
func (d document) first() int {
	for i, line := range strings.Split(string(d.content), "\n") {
		if text := strings.TrimSpace(line); text != "" && !strings.HasPrefix(text, "#") {
			return d.line + i
		}
	}
	return d.line
}

// documents splits a file at the lines that begin a YAML document.
func documents(content []byte) []document {
	all := []document{{line: 1}}
	lines := bufio.NewReader(bytes.NewReader(content))
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if rest, marker := bytes.CutPrefix(line, []byte("---")); marker && (len(rest) == 0 || bytes.ContainsAny(rest[:1], " \t\r\n")) {
			all = append(all, document{line: n})
			// What follows the marker belongs to the document.
			line = append([]byte("   "), rest...)
		}
		last := &all[len(all)-1]
		last.content = append(last.content, line...)
		if err != nil {
			return all
		}
	}
}

var lineOf = regexp.MustCompile(`\bline (\d+): `)

// at returns an error with the file and the line that it is about.
func at(place string, d document, err error) error {
	line := d.first()
	message := strings.Join(strings.Fields(err.Error()), " ")
	if m := lineOf.FindStringSubmatch(message); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = d.line + n - 1
		}
		message = strings.Replace(message, m[0], "", 1)
	}
	for _, prefix := range []string{"error converting YAML to JSON: ", "yaml: ", "unmarshal errors: "} {
		message = strings.TrimPrefix(message, prefix)
	}
	return fmt.Errorf("%s:%d: %s", place, line, message)
}
