package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/storage/wal"
)

// How a member asks the others until one of them agrees.
const (
	askTimeout = 5 * time.Second
	askPause   = 200 * time.Millisecond
	logPeriod  = 10 * time.Second
)

// move is the next step of a member without data that joins a cluster.
type move int

const (
	moveAdd    move = iota // ask to be added as a learner
	moveStart              // start: it is listed and has never been started
	moveRemove             // remove the listed member, whose data is lost
	moveWait               // wait for another learner: etcd allows one at a time
)

// next chooses a move from the cluster's members. Moves can be interrupted and
// chosen again: a member is added once, and a member whose disk was lost is removed
// before its successor is added.
func next(members []*etcdserverpb.Member, name, peerURL string) (move, uint64) {
	learner := false
	for _, m := range members {
		switch {
		case m.Name == name || (m.Name == "" && slices.Contains(m.PeerURLs, peerURL)):
			if m.Name == "" {
				return moveStart, m.ID
			}
			return moveRemove, m.ID
		case slices.Contains(m.PeerURLs, peerURL):
			return moveRemove, m.ID
		case m.IsLearner:
			learner = true
		}
	}
	if learner {
		return moveWait, 0
	}
	return moveAdd, 0
}

// initialCluster returns the members in etcd's format for a new member.
func initialCluster(members []*etcdserverpb.Member, id uint64, name string) string {
	var list []string
	for _, m := range members {
		called := m.Name
		switch {
		case m.ID == id:
			called = name
		case called == "": // added, not yet started
			called = strconv.FormatUint(m.ID, 16)
		}
		for _, u := range m.PeerURLs {
			list = append(list, called+"="+u)
		}
	}
	slices.Sort(list)
	return strings.Join(list, ",")
}

// hasData reports whether a member has been started in dir.
func hasData(dir string) bool { return wal.Exist(filepath.Join(dir, "member", "wal")) }

// join asks the other members to add this one as a learner, and returns the initial
// cluster to start it with. It retries until ctx ends.
func (s Settings) join(ctx context.Context, log *slog.Logger) (string, error) {
	peer := s.url(s.Address, s.peerPort())
	var cluster string
	err := s.insist(ctx, log, "join the etcd cluster", func(ctx context.Context, c *clientv3.Client) error {
		listed, err := c.MemberList(ctx)
		if err != nil {
			return err
		}
		switch m, id := next(listed.Members, s.Name, peer.String()); m {
		case moveStart:
			cluster = initialCluster(listed.Members, id, s.Name)
			return nil
		case moveRemove:
			if _, err := c.MemberRemove(ctx, id); err != nil {
				return fmt.Errorf("remove the member whose data was lost: %w", err)
			}
			return errAgain
		case moveWait:
			return errors.New("another control plane is joining")
		default:
			added, err := c.MemberAddAsLearner(ctx, []string{peer.String()})
			if err != nil {
				return err
			}
			cluster = initialCluster(added.Members, added.Member.ID, s.Name)
			return nil
		}
	})
	return cluster, err
}

// promote makes a learner a voter once it has caught up with the leader's log.
func (s Settings) promote(ctx context.Context, id uint64, log *slog.Logger) error {
	return s.insist(ctx, log, "be promoted in the etcd cluster", func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.MemberPromote(ctx, id)
		if promoted(err) {
			return nil
		}
		return err
	})
}

// promoted reports whether err, the answer to a promotion, means that the member is
// a voter. ErrMemberNotLearner means that the answer to an earlier attempt was
// lost. Its text is a prefix of the error for a learner that has not caught up, so
// compare the values.
func promoted(err error) bool { return err == nil || errors.Is(err, rpctypes.ErrMemberNotLearner) }

// errAgain asks for another attempt after progress.
var errAgain = errors.New("more to do")

// insist calls try with the other members in turn until it succeeds.
func (s Settings) insist(ctx context.Context, log *slog.Logger, what string, try func(context.Context, *clientv3.Client) error) error {
	var logged time.Time
	for {
		err := s.ask(ctx, try)
		if err == nil {
			return nil
		}
		if time.Since(logged) > logPeriod && !errors.Is(err, errAgain) {
			log.Info("waiting to "+what, "reason", err)
			logged = time.Now()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, errors.Join(context.Cause(ctx), err))
		case <-time.After(askPause):
		}
	}
}

func (s Settings) ask(ctx context.Context, try func(context.Context, *clientv3.Client) error) error {
	last := errors.New("there are no other members")
	for _, m := range s.Members {
		if m.Name == s.Name || (s.by != "" && m.Name != s.by) {
			continue
		}
		c, err := s.client(m.Address)
		if err != nil {
			return err
		}
		attempt, cancel := context.WithTimeout(ctx, askTimeout)
		last = try(attempt, c)
		cancel()
		_ = c.Close()
		if last == nil || errors.Is(last, errAgain) {
			return last
		}
	}
	return last
}
