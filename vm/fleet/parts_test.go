package fleet

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAPartThatEndsIsStartedAgainAndReportedUntilItIsHealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newParts(t.Context(), slog.New(slog.DiscardHandler))
		var starts []time.Duration
		began := time.Now()
		p.keep("the network", func(ctx context.Context) error {
			starts = append(starts, time.Since(began))
			switch len(starts) {
			case 1:
				return errors.New("out of descriptors")
			case 2:
				return nil
			}
			<-ctx.Done()
			return nil
		})
		synctest.Wait()
		if problems := p.failing(); len(problems) != 1 || !strings.Contains(problems[0], "the network, failed and is started again: out of descriptors") {
			t.Errorf("after the first end: %v", problems)
		}
		time.Sleep(firstPause)
		synctest.Wait()
		if problems := p.failing(); len(problems) != 1 || !strings.Contains(problems[0], "ended unexpectedly") {
			t.Errorf("after the second end: %v", problems)
		}
		time.Sleep(2 * firstPause)
		synctest.Wait()
		if len(starts) != 3 || starts[1] != firstPause || starts[2] != 3*firstPause {
			t.Errorf("started after %v", starts)
		}
		if len(p.failing()) != 1 {
			t.Error("healthy at once")
		}
		time.Sleep(healthyAfter)
		synctest.Wait()
		if problems := p.failing(); len(problems) != 0 {
			t.Errorf("while it runs: %v", problems)
		}
		p.close()
	})
}

func TestAPartThatKeepsEndingIsStartedLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newParts(t.Context(), slog.New(slog.DiscardHandler))
		starts := 0
		p.keep("the network", func(context.Context) error {
			starts++
			return errors.New("no luck")
		})
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if starts < 20 || starts > 35 {
			t.Errorf("%d starts in ten minutes", starts)
		}
		p.close()
	})
}
