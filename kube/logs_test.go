package kube

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/skiff-dev/skiff/kube/feed"
)

func TestReadLogSkipsOldLinesAndBoundsLength(t *testing.T) {
	long := strings.Repeat("y", 3*maxLogLine)
	in := "2026-11-21T12:00:00.000000001Z one\n2026-11-21T12:00:01Z two\nno time\n2026-11-21T12:00:02Z " + long + "\n2026-11-21T12:00:03Z last"
	var got []feed.Line
	last := time.Date(2026, 11, 21, 12, 0, 0, 1, time.UTC)
	if err := readLog(strings.NewReader(in), "web", last, func(l feed.Line) { got = append(got, l) }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || got[0].Text != "two" || got[2].Text != "last" {
		t.Fatalf("%d lines: %.60v", len(got), got)
	}
	stamp := len("2026-11-21T12:00:02Z ")
	want := long[:maxLogLine-stamp] + fmt.Sprintf(" … (%d more bytes)", len(long)+stamp-maxLogLine)
	if got[1].Text != want {
		t.Errorf("a long line ends with %q", got[1].Text[len(got[1].Text)-40:])
	}
}

func FuzzReadLog(f *testing.F) {
	f.Add("2026-11-21T12:00:00Z one\ntwo")
	f.Fuzz(func(t *testing.T, text string) {
		_ = readLog(strings.NewReader(text), "", time.Time{}, func(l feed.Line) {
			if len(l.Text) > maxLogLine+len(" … (9223372036854775807 more bytes)") || strings.Contains(l.Text, "\n") {
				t.Errorf("%.60q", l.Text)
			}
		})
	})
}

func TestWaitingContainerHasTheLogOfItsLastRun(t *testing.T) {
	ended := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3}}
	back := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	ids := map[string]bool{}
	for _, s := range []corev1.ContainerStatus{
		{Name: "web", ContainerID: "1", State: ended},
		{Name: "web", ContainerID: "1", State: back, LastTerminationState: ended, RestartCount: 1},
		{Name: "web", ContainerID: "2", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, LastTerminationState: ended, RestartCount: 1},
	} {
		streams := streamsOf(&corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{s}}}, feed.Logs{})
		if len(streams) != 1 {
			t.Fatalf("%+v: %d logs", s.State, len(streams))
		}
		ids[streams[0].id] = true
	}
	if len(ids) != 2 {
		t.Errorf("two runs of a container have %d log IDs, want 2", len(ids))
	}
	image := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull"}}
	if streams := streamsOf(&corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "web", State: image}}}}, feed.Logs{}); len(streams) != 0 {
		t.Error("a container that never ran has a log")
	}
}
