package nearest

import "testing"

func TestOfFindsTheWordThatWasMeant(t *testing.T) {
	keys := []string{"name", "controlPlanes", "workers", "cpus", "memory", "disk", "apiPort", "driver", "network"}
	for word, want := range map[string]string{
		"wokers":        "workers",
		"worker":        "workers",
		"Workers":       "workers",
		"wrokers":       "workers",
		"controlplane":  "controlPlanes",
		"controlPlanes": "controlPlanes",
		"cpu":           "cpus",
		"memroy":        "memory",
		"kubernetes":    "",
		"x":             "",
		"":              "",
	} {
		if got := Of(word, keys); got != want {
			t.Errorf("Of(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestDistanceCountsASwapOnce(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"ab", "ba", 1}, {"kitten", "sitting", 3}, {"same", "same", 0}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func FuzzOf(f *testing.F) {
	f.Add("wokers", "workers")
	f.Fuzz(func(t *testing.T, word, candidate string) {
		got := Of(word, []string{candidate})
		if got != "" && got != candidate {
			t.Fatalf("Of(%q, %q) = %q", word, candidate, got)
		}
		if word == candidate && word != "" && len(word) <= 64 && got != candidate {
			t.Fatalf("the word itself is not nearest to itself: %q", got)
		}
	})
}
