package ui_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func testNodes(t *testing.T, _ *realCluster, s *session) {
	s.visit("nodes", "", "Nodes of dev", "worker-1", "conditions", "no MemoryPressure", "sandbox", "host CPU")
	s.press("g")
	s.see("taints", "node-role.kubernetes.io/control-plane:NoSchedule")
	t.Run("shell", func(t *testing.T) {
		s := s.in(t)
		s.press("g", down, "s")
		s.see("#")
		s.press("hostname; echo on-$((6*7))", enter)
		s.see("worker-1", "on-42")
		s.press("exit", enter)
		s.see("Nodes of dev")
		s.press("?")
		s.see("Help: ")
		s.press(escape)
	})
	t.Run("cordon", func(t *testing.T) {
		s := s.in(t)
		s.press("C")
		s.see("SchedulingDisabled", "node.kubernetes.io/unschedulable:NoSchedule")
		s.press("U")
		s.gone("SchedulingDisabled")
	})
	t.Run("add, drain, remove", func(t *testing.T) {
		s := s.in(t)
		s.press("+")
		s.finishes("Scale workers of dev to 2")
		s.press(escape)
		s.until("worker-2", "3/3 nodes")
		s.press("G", "D")
		s.see("Drain 1 node with", "worker-2", "emptyDir")
		s.press("y")
		s.finishes("drain node worker-2")
		s.see("node worker-2 drained")
		s.press(escape)
		s.see("SchedulingDisabled")
		s.press("-")
		s.see("Remove worker-2 from dev?", "Its disk")
		s.press("worker-2", enter)
		s.finishes("Scale workers of dev to 1")
		s.press(escape)
		s.gone("worker-2")
	})
	t.Run("restart", func(t *testing.T) {
		s := s.in(t)
		s.press("g", down, "r")
		s.see("Restart machine worker-1?")
		s.press("y")
		s.finishes("Restart node worker-1")
		s.see("node worker-1 restarted in")
		s.press(escape)
		s.until("2/2 nodes", "running")
	})
}

func testSnapshot(t *testing.T, c *realCluster, s *session) {
	file := filepath.Join(c.home, "snapshot.db")
	s.visit("clusters", "dev", "running")
	s.press("S")
	s.see("Snapshot dev")
	s.press(ctrlU, file, enter)
	s.finishes("Snapshot dev")
	if info, err := os.Stat(file); err != nil || info.Size() == 0 {
		t.Errorf("%v, %v", info, err)
	}
}

func testClusters(t *testing.T, c *realCluster, s *session) {
	s.visit("clusters", "", "Clusters on this host")
	s.press("+")
	s.see("Create cluster", "sandbox")
	s.press(ctrlU, "tiny", enter, enter, ctrlU, "0", enter, enter, enter, ctrlU, "1536Mi", enter, enter)
	s.finishes("Create cluster tiny")
	s.visit("clusters", "tiny", "1/1", "running")
	s.press("x")
	s.see("Stop cluster tiny?")
	s.press("y")
	s.finishes("Stop cluster tiny")
	s.press(escape)
	s.until("stopped")
	s.press("u")
	s.finishes("Start cluster tiny")
	s.press(escape)
	s.until("running", "1/1")
	s.press("p")
	s.see("Pause cluster tiny?")
	s.press("y")
	s.finishes("Pause cluster tiny")
	s.press(escape)
	s.until("paused", "0/1")
	s.press("r")
	s.finishes("Resume cluster tiny")
	s.press(escape)
	s.until("running", "1/1")
	s.press(":", "ctx dev,tiny", enter, ":", "pods kube-system", enter)
	s.until("CLUSTER", "dev ", "tiny ", "live")
	s.visit("clusters", "tiny", "running")
	s.press(ctrlD)
	s.see("Delete cluster tiny?", "cannot be undone", "Type tiny")
	s.press("tiny", enter)
	s.finishes("Delete cluster tiny")
	eventually(t, "the cluster is deleted", func() error {
		_, err := os.Stat(filepath.Join(c.home, "h", "clusters", "tiny"))
		if err == nil {
			return errors.New("its directory still exists")
		}
		if !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("stat: %w", err)
		}
		return nil
	})
}

// testNoArguments runs skiff without arguments, which opens the dashboard of the
// only cluster.
func testNoArguments(t *testing.T, c *realCluster, _ *session) {
	s := c.start(t, nil)
	s.see("dev running", "2/2 nodes", "live")
	s.press(":", "cp", enter)
	s.see("Control plane of dev", "API ready", "etcd leader", "raft index", "expires in")
	s.press(ctrlC)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := s.Wait(ctx); err != nil {
		t.Error(err)
	}
}
