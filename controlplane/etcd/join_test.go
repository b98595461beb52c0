package etcd

import (
	"context"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
)

func TestAMemberJoinsFromWhereverItWasInterrupted(t *testing.T) {
	member := func(id uint64, name string, learner bool, url string) *etcdserverpb.Member {
		return &etcdserverpb.Member{ID: id, Name: name, IsLearner: learner, PeerURLs: []string{url}}
	}
	first := member(1, "cp-1", false, "https://10.0.0.1:2380")
	for _, tt := range []struct {
		name    string
		members []*etcdserverpb.Member
		move    move
		id      uint64
	}{
		{"not known", []*etcdserverpb.Member{first}, moveAdd, 0},
		{"added, never started", []*etcdserverpb.Member{first, member(2, "", true, "https://10.0.0.2:2380")}, moveStart, 2},
		{"started as a learner, data lost", []*etcdserverpb.Member{first, member(2, "cp-2", true, "https://10.0.0.2:2380")}, moveRemove, 2},
		{"had a vote, data lost", []*etcdserverpb.Member{first, member(2, "cp-2", false, "https://10.0.0.2:2380")}, moveRemove, 2},
		{"its address is another's of old", []*etcdserverpb.Member{first, member(2, "cp-9", false, "https://10.0.0.2:2380")}, moveRemove, 2},
		{"another joins just now", []*etcdserverpb.Member{first, member(3, "cp-3", true, "https://10.0.0.3:2380")}, moveWait, 0},
		{"another was added just now", []*etcdserverpb.Member{first, member(3, "", true, "https://10.0.0.3:2380")}, moveWait, 0},
	} {
		if got, id := next(tt.members, "cp-2", "https://10.0.0.2:2380"); got != tt.move || id != tt.id {
			t.Errorf("%s: move %d of member %d, want %d of %d", tt.name, got, id, tt.move, tt.id)
		}
	}
	cluster := initialCluster([]*etcdserverpb.Member{member(2, "", true, "https://10.0.0.2:2380"), first}, 2, "cp-2")
	if want := "cp-1=https://10.0.0.1:2380,cp-2=https://10.0.0.2:2380"; cluster != want {
		t.Errorf("cluster %s", cluster)
	}
}

// As the client has them: the words of the second begin like those of the first.
func TestOnlyAMemberWithAVoteIsPromoted(t *testing.T) {
	for answer, want := range map[error]bool{
		nil: true,
		rpctypes.Error(rpctypes.ErrGRPCMemberNotLearner): true,
		rpctypes.Error(rpctypes.ErrGRPCLearnerNotReady):  false,
		rpctypes.Error(rpctypes.ErrGRPCMemberNotFound):   false,
		context.DeadlineExceeded:                         false,
	} {
		if got := promoted(answer); got != want {
			t.Errorf("%v: %t, want %t", answer, got, want)
		}
	}
}

func TestAMemberIsSparedByAMajorityOfTheOthers(t *testing.T) {
	well := func(name string) controlapi.EtcdMember { return controlapi.EtcdMember{Name: name} }
	gone := func(name string) controlapi.EtcdMember { return controlapi.EtcdMember{Name: name, Error: "no answer"} }
	learner := func(name string) controlapi.EtcdMember { return controlapi.EtcdMember{Name: name, Learner: true} }
	for _, tt := range []struct {
		name    string
		members []controlapi.EtcdMember
		want    bool
	}{
		{"nobody else", []controlapi.EtcdMember{well("a")}, true},
		{"one that has no vote yet", []controlapi.EtcdMember{well("a"), learner("b")}, true},
		{"one other", []controlapi.EtcdMember{well("a"), well("b")}, false},
		{"two others", []controlapi.EtcdMember{well("a"), well("b"), well("c")}, true},
		{"one of two others is gone", []controlapi.EtcdMember{well("a"), gone("b"), well("c")}, false},
		{"one of two others has no vote", []controlapi.EtcdMember{well("a"), learner("b"), well("c")}, false},
		{"one of four others is gone", []controlapi.EtcdMember{well("a"), gone("b"), well("c"), well("d"), well("e")}, true},
		{"it does not answer itself", []controlapi.EtcdMember{gone("a"), well("b"), well("c")}, true},
	} {
		if got := Spares(tt.members, "a"); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.want)
		}
	}
}
