package daemonapi

import (
	"errors"
	"strings"
	"testing"
)

func TestFollowFailsWithoutALastEvent(t *testing.T) {
	for stream, want := range map[string]string{
		``:                        "ended before the operation was done",
		`{"phase":"boot"}` + "\n": "ended before the operation was done",
		"nonsense\n":              "read the daemon's events",
		`{"done":true,"failure":{"cause":"no luck"}}`: "no luck",
	} {
		if err := Follow(strings.NewReader(stream), func(Event) {}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", stream, err, want)
		}
	}
	received := 0
	if err := Follow(strings.NewReader("{\"phase\":\"boot\"}\n{\"done\":true}\nafter"), func(Event) { received++ }); err != nil || received != 2 {
		t.Errorf("%d events, %v", received, err)
	}
}

func FuzzFollow(f *testing.F) {
	f.Add("{\"phase\":\"boot\",\"state\":\"done\",\"seconds\":1}\n{\"done\":true}\n")
	f.Add("{\"done\":true,\"failure\":{}}")
	f.Fuzz(func(t *testing.T, stream string) {
		last := false
		err := Follow(strings.NewReader(stream), func(e Event) {
			if last {
				t.Error("an event after the last")
			}
			last = e.Done
		})
		if err == nil && !last {
			t.Error("no error without a last event")
		}
		if errors.Is(err, errCut) && last {
			t.Error("cut off after the last event")
		}
	})
}
