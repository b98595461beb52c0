package etcd

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestTheLossOfTheMajorityIsNoticed(t *testing.T) {
	var members []*Member
	var stops []func()
	for _, s := range threeSettings(t) {
		m, stop := serve(t, s)
		members, stops = append(members, m), append(stops, stop)
	}
	stops[2]()
	short, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	if err := members[0].AwaitLoss(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("AwaitLoss = %v while two of three members run", err)
	}
	began := time.Now()
	stops[1]()
	long, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := members[0].AwaitLoss(long); err != nil {
		t.Fatalf("the loss of the majority is not noticed with one of three members left: %v", err)
	}
	t.Logf("noticed after %s", time.Since(began).Round(time.Millisecond))
}
