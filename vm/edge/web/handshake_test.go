package web

import (
	"crypto/tls"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestAClientThatDoesNotFinishAHandshakeIsNotAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer client.Close()
		began := time.Now()
		if handshake(t.Context(), tls.Server(server, &tls.Config{MinVersion: tls.VersionTLS12})) {
			t.Error("the handshake succeeded")
		}
		if took := time.Since(began); took != headerLimit {
			t.Errorf("it took %s", took)
		}
	})
}
