package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSkiffHasDirectoriesOfItsOwn(t *testing.T) {
	program := filepath.Join(t.TempDir(), "skiff")
	const script = "#!/bin/sh\n[ \"$1\" = fail ] && exit 3\necho \"$@\" >>\"$LOG\"\necho \"{\\\"Home\\\": \\\"$SKIFF_HOME\\\", \\\"Kubeconfig\\\": \\\"$KUBECONFIG\\\"}\"\n"
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "log")
	s, err := New(program, "LOG="+log)
	if err != nil {
		t.Fatal(err)
	}
	var seen struct{ Home, Kubeconfig string }
	if err := s.Query(t.Context(), &seen, "status"); err != nil || seen.Home != s.Home() || seen.Kubeconfig != s.Kubeconfig() {
		t.Errorf("the program sees %+v, %v", seen, err)
	}
	if _, err := s.Run(t.Context(), "fail"); err == nil || !strings.Contains(err.Error(), "skiff [fail]: exit status 3") {
		t.Errorf("error %v", err)
	}
	if err := s.Delete(t.Context(), "bench"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.Dir); !os.IsNotExist(err) {
		t.Errorf("the directory after Delete: %v", err)
	}
	called, err := os.ReadFile(log)
	if want := "status -o json\ndown bench\nregistry stop\n"; err != nil || string(called) != want {
		t.Errorf("called with %q, want %q, %v", called, want, err)
	}
}
