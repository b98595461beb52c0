package standby

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestDecide(t *testing.T) {
	now := time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	const after = 15 * time.Minute
	for _, tt := range []struct {
		name  string
		facts Facts
		want  Action
		again time.Duration
	}{
		{"the setting is off", Facts{Last: ago(time.Hour)}, Nothing, 0},
		{"in use", Facts{After: after, Uses: 1, Last: ago(time.Hour)}, Nothing, 0},
		{"used just now", Facts{After: after, Last: now}, Nothing, after},
		{"used a while ago", Facts{After: after, Last: ago(14 * time.Minute)}, Nothing, time.Minute},
		{"unused for long enough", Facts{After: after, Last: ago(after)}, Sleep, 0},
		{"the setting has become shorter", Facts{After: time.Minute, Last: ago(2 * time.Minute)}, Sleep, 0},
		{"asleep", Facts{After: after, Last: ago(time.Hour), Asleep: true}, Nothing, 0},
		{"asleep, and somebody waits", Facts{After: after, Uses: 1, Last: ago(time.Hour), Asleep: true}, Wake, 0},
		{"asleep, and the setting is turned off", Facts{Last: ago(time.Hour), Asleep: true}, Wake, 0},
	} {
		if got, again := Decide(tt.facts, now); got != tt.want || again != tt.again {
			t.Errorf("%s: %v, again after %s; want %v, %s", tt.name, got, again, tt.want, tt.again)
		}
	}
}

// run does what Decide says until ctx ends. It takes delay to pause and to resume.
func run(ctx context.Context, g *Gate, after, delay time.Duration, did func(Action)) {
	for {
		action, again := Decide(g.Facts(after), time.Now())
		switch {
		case action == Sleep && g.TryToSleep(after):
			time.Sleep(delay)
			did(Sleep)
		case action == Wake:
			time.Sleep(delay)
			g.Wake()
			did(Wake)
		}
		var due <-chan time.Time
		if again > 0 {
			due = time.After(again)
		}
		select {
		case <-ctx.Done():
			return
		case <-g.Changed():
		case <-due:
		}
	}
}

func TestAClusterSleepsWhenItIsUnusedAndWakesOnUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		g, began := New(), time.Now()
		type event struct {
			action Action
			at     time.Duration
		}
		events := make(chan event, 9)
		go run(ctx, g, time.Minute, time.Second, func(a Action) { events <- event{a, time.Since(began)} })
		want := func(action Action, at time.Duration) {
			t.Helper()
			if got := <-events; got != (event{action, at}) {
				t.Fatalf("%v, want %v", got, event{action, at})
			}
		}

		end, err := g.Use(ctx, API) // for 90 s
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(90 * time.Second)
		end()
		end() // has no effect
		want(Sleep, 151*time.Second)

		time.Sleep(time.Hour - time.Since(began))
		end, err = g.Use(ctx, API)
		if err != nil || time.Since(began) != time.Hour+time.Second {
			t.Errorf("a use of the sleeping cluster began after %s, %v", time.Since(began), err)
		}
		want(Wake, time.Hour+time.Second)
		end()
		want(Sleep, time.Hour+62*time.Second)

		// One that begins while the cluster is falling asleep waits as well.
		end = g.Hold(API)
		want(Wake, time.Hour+63*time.Second)
		end()
		time.Sleep(60*time.Second + 500*time.Millisecond)
		if end, err = g.Use(ctx, API); err != nil || time.Since(began) != time.Hour+125*time.Second {
			t.Errorf("a use during the pause began after %s, %v", time.Since(began), err)
		}
		want(Sleep, time.Hour+124*time.Second)
		want(Wake, time.Hour+125*time.Second)
		end()
	})
}

func TestUsesAreCountedByKind(t *testing.T) {
	g := New()
	first, second, request := g.Hold(API), g.Hold(API), g.Hold(Requests)
	if got, want := g.Uses(), (map[Kind]int{API: 2, Requests: 1}); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	first()
	request()
	if got, want := g.Uses(), (map[Kind]int{API: 1}); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if g.TryToSleep(0) {
		t.Error("the cluster fell asleep while it was in use")
	}
	second()
	if len(g.Uses()) > 0 || !g.TryToSleep(0) {
		t.Errorf("after the last use: %v", g.Uses())
	}
}

func TestOwnWorkIsNoUseAndHoldsUpThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New()
		end, ok := g.Work()
		time.Sleep(time.Minute)
		if !ok || g.TryToSleep(time.Minute) {
			t.Error("the cluster fell asleep during work")
		}
		end()
		end() // has no effect
		if !g.TryToSleep(time.Minute) || !g.Asleep() {
			t.Error("work counts as a use")
		}
		if _, ok := g.Work(); ok {
			t.Error("work began while the cluster was asleep")
		}
		if facts := g.Facts(time.Minute); facts.Uses != 0 || !facts.Asleep {
			t.Errorf("%+v", facts)
		}
	})
}

func TestWhileAwakeEndsWithTheSleepOrItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New()
		ctx, cancel := g.WhileAwake(t.Context())
		other, end := g.WhileAwake(t.Context())
		end()
		synctest.Wait()
		if ctx.Err() != nil || other.Err() == nil {
			t.Errorf("awake: %v, canceled: %v", ctx.Err(), other.Err())
		}
		g.TryToSleep(0)
		synctest.Wait()
		if ctx.Err() == nil {
			t.Error("the context lasts while the cluster is asleep")
		}
		cancel()
		late, cancel := g.WhileAwake(t.Context())
		defer cancel()
		if late.Err() == nil {
			t.Error("a context began while the cluster was asleep")
		}
	})
}

func TestAUseGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New()
		g.TryToSleep(0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.Use(ctx, API); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if facts := g.Facts(0); facts.Uses != 0 {
			t.Errorf("%+v", facts)
		}
	})
}

func TestAConnectionIsAUseUntilItIsClosed(t *testing.T) {
	g := New()
	here, there := net.Pipe()
	defer there.Close()
	fails := errors.New("no route")
	dial := g.Dial(Network, func(_ context.Context, _, address string) (net.Conn, error) {
		if address == "nowhere" {
			return nil, fails
		}
		return here, nil
	})
	if _, err := dial(t.Context(), "tcp", "nowhere"); !errors.Is(err, fails) || g.Facts(0).Uses != 0 {
		t.Errorf("%v, %+v", err, g.Facts(0))
	}
	conn, err := dial(t.Context(), "tcp", "somewhere")
	if err != nil || g.Facts(0).Uses != 1 {
		t.Fatalf("%v, %+v", err, g.Facts(0))
	}
	for range 2 {
		_ = conn.Close()
	}
	if _, err := there.Read(make([]byte, 1)); !errors.Is(err, io.EOF) || g.Facts(0).Uses != 0 {
		t.Errorf("%v, %+v", err, g.Facts(0))
	}
}
