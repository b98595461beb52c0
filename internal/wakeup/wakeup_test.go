package wakeup_test

import (
	"testing"

	"github.com/skiff-dev/skiff/internal/wakeup"
)

func TestSignalsUntilTheNextReceiveAreOne(t *testing.T) {
	s := wakeup.New()
	for range 3 {
		s.Send()
	}
	<-s
	select {
	case <-s:
		t.Error("received twice")
	default:
	}
	s.Send()
	<-s
}
