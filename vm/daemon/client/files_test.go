package client_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

func TestFilesGoToNodesThatShareThem(t *testing.T) {
	w := newEnvironment()
	var put []string
	w.putFile = func(_ context.Context, machines []string, name, sum string, content io.Reader) error {
		if name == "/var/refused" {
			return errors.New("no space left on device")
		}
		text, err := io.ReadAll(content)
		put = append(put, strings.Join(machines, ",")+" "+name+" "+sum+" "+string(text))
		return err
	}
	r := startRig(t, w, shortHome(t), small("demo"), imageDir(t))
	if err := r.client.Apply(t.Context(), r.spec, func(daemonapi.Event) {}); err != nil {
		t.Fatal(err)
	}
	if !r.client.SharesFiles(t.Context()) {
		t.Error("the nodes share no files")
	}
	nodes := []string{"worker-1", "worker-2"}
	if err := r.client.PutFile(t.Context(), nodes, "/var/file", "abc", strings.NewReader("content")); err != nil {
		t.Fatal(err)
	}
	if len(put) != 1 || put[0] != "worker-1,worker-2 /var/file abc content" {
		t.Errorf("put %q", put)
	}
	for what, c := range map[string]struct {
		nodes      []string
		name, want string
	}{
		"a node that does not exist": {[]string{"worker-1", "worker-9"}, "/var/file", "no node worker-9"},
		"a relative path":            {nodes, "var/file", "not a path of a file"},
		"a path that leads up":       {nodes, "/var/../etc/passwd", "not a path of a file"},
		"a full disk":                {nodes, "/var/refused", "no space left"},
	} {
		if err := r.client.PutFile(t.Context(), c.nodes, c.name, "abc", strings.NewReader("content")); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if len(put) != 1 {
		t.Errorf("put %q", put)
	}
}

func TestFilesStayOnTheHostOfNodesWithDisks(t *testing.T) {
	r := newRig(t, shortHome(t), "demo")
	if err := r.client.Apply(t.Context(), r.spec, func(daemonapi.Event) {}); err != nil {
		t.Fatal(err)
	}
	if r.client.SharesFiles(t.Context()) {
		t.Error("the nodes share files")
	}
	if err := r.client.PutFile(t.Context(), []string{"worker-1"}, "/var/file", "abc", strings.NewReader("content")); err == nil || !strings.Contains(err.Error(), "unsupported") {
		t.Errorf("got %v", err)
	}
}
