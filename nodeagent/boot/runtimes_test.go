package boot

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/nodeagent/nodeconfig"
)

func TestContainerdKnowsTheRuntimesOfTheDocument(t *testing.T) {
	const section = "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes."
	for names, want := range map[string]struct{ files, handlers string }{
		"":            {"", ""},
		"crun":        {runtimesFile, "crun"},
		"gvisor":      {runtimesFile + " " + runscFile, "runsc"},
		"crun gvisor": {runtimesFile + " " + runscFile, "crun runsc"},
	} {
		files := runtimeFiles(strings.Fields(names))
		if got := strings.Join(slices.Sorted(maps.Keys(files)), " "); got != want.files {
			t.Errorf("runtimes %q: files %q, want %q", names, got, want.files)
		}
		var handlers []string
		for line := range strings.Lines(files[runtimesFile]) {
			if handler, ok := strings.CutPrefix(strings.TrimSpace(line), section); ok && !strings.Contains(handler, ".") {
				handlers = append(handlers, strings.TrimSuffix(handler, "]"))
			}
		}
		if got := strings.Join(handlers, " "); got != want.handlers {
			t.Errorf("runtimes %q: handlers %q, want %q", names, got, want.handlers)
		}
	}
}

func TestEveryRuntimeHasAConfiguration(t *testing.T) {
	for _, r := range nodeconfig.Runtimes() {
		if text := runtimeFiles([]string{r.Name})[runtimesFile]; !strings.Contains(text, "runtime_type = ") || strings.Contains(text, "%!") {
			t.Errorf("%s: %s", r.Name, text)
		}
		for _, program := range r.Programs {
			text := strings.Join(slices.Collect(maps.Values(runtimeFiles([]string{r.Name}))), "")
			if !strings.Contains(text, "'"+nodeconfig.RuntimeProgram(program)+"'") {
				t.Errorf("%s: no file names %s:\n%s", r.Name, program, text)
			}
		}
	}
}
