package agent

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestAFailedPartIsRestartedUntilTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		runs := 0
		err := again(ctx, "part", func(context.Context) error {
			if runs++; runs == 3 {
				cancel()
			}
			return errors.New("failed")
		})
		if err != nil || runs != 3 {
			t.Errorf("%d runs, %v", runs, err)
		}
	})
}

func TestKubeletUsesTheCertificateThatTheHostMade(t *testing.T) {
	paths := kubeletPaths(Config{PKIDir: "/run/skiff/pki"})
	if paths.Certificate != "/run/skiff/pki/kubelet.crt" || paths.Key != "/run/skiff/pki/kubelet.key" {
		t.Errorf("%+v", paths)
	}
}
