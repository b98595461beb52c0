package process

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestParseCPUIgnoresTheProgramName(t *testing.T) {
	stat := "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 7 5 0 0 20 0 1 0 100 1 1"
	if got, err := parseCPU([]byte(stat)); err != nil || got != 120*time.Millisecond {
		t.Errorf("%s, %v", got, err)
	}
	for _, bad := range []string{"", "42 (a)", "42 (a) S 1"} {
		if _, err := parseCPU([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestParseMemoryReadsARollup(t *testing.T) {
	rollup := "00400000-7fff r--p 0 00:00 0  [rollup]\nRss:  4096 kB\nPss:  2048 kB\nPss_Anon: 1024 kB\nAnonymous: 512 kB\n"
	if got, err := parseMemory([]byte(rollup)); err != nil || got != (Usage{RSS: 4, PSS: 2, Anonymous: 0.5}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := parseMemory([]byte("Rss: 1 kB\n")); err == nil {
		t.Error("a rollup without Pss was accepted")
	}
}

func TestMeasureThisProcess(t *testing.T) {
	if _, err := CPU(os.Getpid()); err != nil {
		t.Error(err)
	}
	if memory, err := Memory(os.Getpid()); err != nil || memory.PSS <= 0 {
		t.Errorf("%v, %v", memory, err)
	}
}

func TestAChildIsFoundByItsArgument(t *testing.T) {
	command := exec.Command("sleep", "61.5")
	if err := command.Start(); err != nil {
		t.Skip(err)
	}
	defer func() {
		_ = command.Process.Kill()
		_ = command.Wait() // it was killed
	}()
	if pid, err := Child(os.Getpid(), "61.5"); err != nil || pid != command.Process.Pid {
		t.Errorf("%d, %v, want %d", pid, err, command.Process.Pid)
	}
	if pid, err := Child(os.Getpid(), "61"); err == nil {
		t.Errorf("found %d", pid)
	}
}
