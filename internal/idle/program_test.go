package idle

import (
	"os"
	"strings"
	"testing"
)

func TestMappingsParsesSmaps(t *testing.T) {
	const smaps = `00400000-03ba0000 r-xp 00000000 fe:00 123                                /opt/a program
Rss:               55036 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
07a84000-07d3d000 rw-p 07684000 fe:00 123                                /opt/a program
Anonymous:           348 kB
3e6017000000-3e6022800000 rw-p 00000000 00:00 0
Anonymous:        118800 kB
`
	got, err := mappings(strings.NewReader(smaps))
	if err != nil {
		t.Fatal(err)
	}
	want := []mapping{
		{0x400000, 0x3ba0000, false, 0, "/opt/a program"},
		{0x7a84000, 0x7d3d000, true, 348, "/opt/a program"},
		{0x3e6017000000, 0x3e6022800000, true, 118800, ""},
	}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%+v, not %+v", got[i], want[i])
		}
	}
	for _, wrong := range []string{"Anonymous: 3 kB\n", "400000 r-xp\n", "x-y r-xp 0 0 0\n", "2-1 r-xp 0 0 0\n", "1-2 r-xp 0 0 0\nAnonymous: x kB\n"} {
		if _, err := mappings(strings.NewReader(wrong)); err == nil {
			t.Errorf("%q was taken", wrong)
		}
	}
}

func TestAProgramContinuesAfterItsPagesAreReleased(t *testing.T) {
	if err := unmapProgram(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	list, err := mappings(f)
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		if m.path == program && !m.writable {
			return
		}
	}
	t.Errorf("none of %d mappings is the program's", len(list))
}
