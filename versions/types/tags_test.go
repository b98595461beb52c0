package main

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/internal/kubenames"
)

func TestTagsNameTheVersionsUpToTheDefaultOne(t *testing.T) {
	standard, err := strconv.Atoi(strings.TrimPrefix(kubenames.Default, "1."))
	if err != nil {
		t.Fatal(err)
	}
	for offset, want := range map[int]string{
		-2: fmt.Sprintf("kubernetes_before_1_%d,kubernetes_before_1_%d", standard-1, standard),
		-1: fmt.Sprintf("kubernetes_before_1_%d", standard),
		0:  "",
		1:  fmt.Sprintf("kubernetes_from_1_%d", standard+1),
		2:  fmt.Sprintf("kubernetes_from_1_%d,kubernetes_from_1_%d", standard+1, standard+2),
	} {
		version := fmt.Sprintf("1.%d", standard+offset)
		output, err := exec.Command("../../scripts/tags.sh", version).Output()
		if got := strings.TrimSpace(string(output)); err != nil || got != want {
			t.Errorf("%s: %q (%v), want %q", version, got, err, want)
		}
	}
}
