package etcd

import (
	"context"
	"expvar"
	"time"

	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// campaignPoll is how often a member that is alone looks whether it can become leader.
const campaignPoll = 5 * time.Millisecond

// campaign makes a member without others the leader of its cluster as soon as it has
// applied its log, and returns then or when the member stops. Otherwise raft would first
// wait for a random time of up to an election timeout. The message is the one with which a
// leader asks another member to take over, and raft treats it as such: what is committed,
// and who may lead, does not depend on it.
func campaign(server *etcdserver.EtcdServer) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	id := uint64(server.MemberID())
	for server.Leader() == 0 && len(server.Cluster().Members()) == 1 {
		if caughtUp(id) {
			// It fails only if the member stops.
			_ = server.Process(ctx, &raftpb.Message{Type: raftpb.MsgTimeoutNow.Enum(), From: &id, To: &id})
		}
		select {
		case <-server.StoppingNotify():
			return
		case <-time.After(campaignPoll):
		}
	}
}

// caughtUp reports whether raft itself knows that the member has applied all that is
// committed. Before that, a candidate searches its log for changes of the members, and panics
// if etcd, which knows earlier, has compacted that part of it. etcd publishes only the status
// of the member that it started last.
func caughtUp(id uint64) bool {
	published, ok := expvar.Get("raft.status").(expvar.Func)
	if !ok {
		return false
	}
	status, ok := published.Value().(raft.Status)
	return ok && status.ID == id && status.HardState != nil && status.Applied >= status.GetCommit()
}
