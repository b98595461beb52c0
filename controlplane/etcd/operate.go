package etcd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/skiff-dev/skiff/controlplane/controlapi"
)

// operateTimeout bounds one request to one member, defragTimeout a
// defragmentation, during which a member answers no requests.
const (
	operateTimeout = 20 * time.Second
	defragTimeout  = 2 * time.Minute
)

// MemberStatus returns the status of every member.
func (s Settings) MemberStatus(ctx context.Context) ([]controlapi.EtcdMember, error) {
	var list []controlapi.EtcdMember
	err := s.operate(ctx, func(ctx context.Context, c *clientv3.Client) error {
		listed, err := c.MemberList(ctx)
		if err != nil {
			return err
		}
		alarms, err := c.AlarmList(ctx)
		if err != nil {
			return err
		}
		list = nil
		for _, m := range listed.Members {
			list = append(list, s.statusOf(ctx, m, alarms.Alarms))
		}
		return nil
	})
	return list, err
}

// Spares reports whether the cluster accepts writes without the member called name:
// the other voters that answer are a majority, or there is no other voter.
func Spares(members []controlapi.EtcdMember, name string) bool {
	voters, others := 0, 0
	for _, m := range members {
		if m.Learner {
			continue
		}
		voters++
		if m.Name != name && m.Error == "" {
			others++
		}
	}
	return voters == 1 || others > voters/2
}

func (s Settings) statusOf(ctx context.Context, m *etcdserverpb.Member, alarms []*etcdserverpb.AlarmMember) controlapi.EtcdMember {
	status := controlapi.EtcdMember{ID: strconv.FormatUint(m.ID, 16), Name: m.Name, Learner: m.IsLearner}
	for _, a := range alarms {
		if a.MemberID == m.ID {
			status.Alarms = append(status.Alarms, strings.ToLower(a.Alarm.String()))
		}
	}
	address, err := addressOf(m)
	if err != nil {
		status.Error = err.Error()
		return status
	}
	status.Address = address.String()
	seen, err := with(ctx, s, address, func(ctx context.Context, c *clientv3.Client) (*clientv3.StatusResponse, error) {
		return c.Status(ctx, c.Endpoints()[0])
	})
	if err != nil {
		status.Error = err.Error()
		return status
	}
	status.Leader = seen.Leader == m.ID
	status.DatabaseBytes, status.InUseBytes, status.QuotaBytes = seen.DbSize, seen.DbSizeInUse, seen.DbSizeQuota
	status.RaftIndex = seen.RaftIndex
	return status
}

// Remove removes the member with that name or address from the cluster, even if it
// does not answer. A leader hands its leadership over first. It is not an error if
// there is no such member.
func (s Settings) Remove(ctx context.Context, name string, address netip.Addr) error {
	return s.operate(ctx, func(ctx context.Context, c *clientv3.Client) error {
		listed, err := c.MemberList(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(listed.Members, func(m *etcdserverpb.Member) bool {
			at, err := addressOf(m)
			return m.Name == name || (err == nil && at == address)
		})
		if i < 0 {
			return nil
		}
		if err := s.handOver(ctx, listed.Members, i); err != nil {
			return err
		}
		if err := removeMember(ctx, c, listed.Members[i].ID); err != nil {
			return fmt.Errorf("remove member %s: %w", name, err)
		}
		return nil
	})
}

// removeMember retries until etcd allows the removal: it requires that the other
// members have been connected for five seconds.
func removeMember(ctx context.Context, c *clientv3.Client, id uint64) error {
	for {
		_, err := c.MemberRemove(ctx, id)
		switch {
		case err == nil || errors.Is(err, rpctypes.ErrMemberNotFound):
			return nil
		case !errors.Is(err, rpctypes.ErrUnhealthy):
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		case <-time.After(askPause):
		}
	}
}

// handOver makes member i transfer its leadership if it is the leader and answers.
func (s Settings) handOver(ctx context.Context, members []*etcdserverpb.Member, i int) error {
	leaving := members[i]
	address, err := addressOf(leaving)
	if err != nil {
		return err
	}
	_, err = with(ctx, s, address, func(ctx context.Context, c *clientv3.Client) (any, error) {
		status, err := c.Status(ctx, c.Endpoints()[0])
		if err != nil || status.Leader != leaving.ID {
			return nil, nil //nolint:nilerr // a leader that does not answer is replaced by an election
		}
		voters := slices.DeleteFunc(slices.Clone(members), func(m *etcdserverpb.Member) bool { return m.IsLearner })
		return nil, announced(ctx, c, len(voters), func() error { return moveLeader(ctx, c, leaving.ID, voters) })
	})
	if err != nil {
		return fmt.Errorf("hand the leadership over: %w", err)
	}
	return nil
}

// moveLeader transfers the leadership to another voter.
func moveLeader(ctx context.Context, c *clientv3.Client, from uint64, voters []*etcdserverpb.Member) (err error) {
	for _, m := range voters {
		if m.ID == from {
			continue
		}
		if _, err = c.MoveLeader(ctx, m.ID); err == nil {
			return nil
		}
	}
	return err
}

// Snapshot writes a snapshot of the database, with a checksum, to out.
func (s Settings) Snapshot(ctx context.Context, out io.Writer) error {
	c, err := s.client(s.Address)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	snapshot, err := c.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("take a snapshot of etcd: %w", err)
	}
	defer snapshot.Close()
	if _, err := io.Copy(out, snapshot); err != nil {
		return fmt.Errorf("take a snapshot of etcd: %w", err)
	}
	return nil
}

// Defragment discards old revisions and returns unused space to the file system,
// one member after another and the leader last. It then clears the alarm of a full
// database.
func (s Settings) Defragment(ctx context.Context) error {
	members, err := s.MemberStatus(ctx)
	if err != nil {
		return err
	}
	slices.SortStableFunc(members, func(a, b controlapi.EtcdMember) int {
		switch {
		case a.Leader == b.Leader:
			return 0
		case b.Leader:
			return -1
		default:
			return 1
		}
	})
	if err := s.Compact(ctx); err != nil {
		return err
	}
	for _, m := range members {
		if m.Error != "" {
			return fmt.Errorf("member %s does not answer: %s", m.Name, m.Error)
		}
		address, err := netip.ParseAddr(m.Address)
		if err != nil {
			return err
		}
		if err := s.defragment(ctx, address); err != nil {
			return fmt.Errorf("defragment member %s: %w", m.Name, err)
		}
	}
	return s.disarm(ctx)
}

// compact discards all revisions but the last, so that their space is unused.
func compact(ctx context.Context, c *clientv3.Client) error {
	status, err := c.Status(ctx, c.Endpoints()[0])
	if err != nil {
		return fmt.Errorf("compact etcd: %w", err)
	}
	_, err = c.Compact(ctx, status.Header.Revision, clientv3.WithCompactPhysical())
	if err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
		return fmt.Errorf("compact etcd: %w", err)
	}
	return nil
}

func (s Settings) defragment(ctx context.Context, address netip.Addr) error {
	c, err := s.client(address)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(ctx, defragTimeout)
	defer cancel()
	_, err = c.Defragment(ctx, c.Endpoints()[0])
	return err
}

// disarm clears the alarms of full databases. etcd raises them again if a database
// is still full.
func (s Settings) disarm(ctx context.Context) error {
	return s.operate(ctx, func(ctx context.Context, c *clientv3.Client) error {
		listed, err := c.AlarmList(ctx)
		if err != nil {
			return err
		}
		for _, a := range listed.Alarms {
			if a.Alarm != etcdserverpb.AlarmType_NOSPACE {
				continue
			}
			if _, err := c.AlarmDisarm(ctx, (*clientv3.AlarmMember)(a)); err != nil {
				return fmt.Errorf("clear the alarm of a full database: %w", err)
			}
		}
		return nil
	})
}

// operate calls try with this node's member, then with the others in turn, until it
// succeeds.
func (s Settings) operate(ctx context.Context, try func(context.Context, *clientv3.Client) error) error {
	addresses := []netip.Addr{s.Address}
	for _, m := range s.Members {
		if m.Address != s.Address {
			addresses = append(addresses, m.Address)
		}
	}
	var failed error
	for _, address := range addresses {
		_, err := with(ctx, s, address, func(ctx context.Context, c *clientv3.Client) (any, error) { return nil, try(ctx, c) })
		if err == nil {
			return nil
		}
		failed = errors.Join(failed, fmt.Errorf("etcd at %s: %w", address, err))
	}
	return failed
}

// with calls one member within operateTimeout.
func with[T any](ctx context.Context, s Settings, address netip.Addr, call func(context.Context, *clientv3.Client) (T, error)) (T, error) {
	var none T
	c, err := s.client(address)
	if err != nil {
		return none, err
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(ctx, operateTimeout)
	defer cancel()
	return call(ctx, c)
}

// addressOf returns the address at which peers reach a member.
func addressOf(m *etcdserverpb.Member) (netip.Addr, error) {
	for _, text := range m.PeerURLs {
		u, err := url.Parse(text)
		if err != nil {
			continue
		}
		if address, err := netip.ParseAddr(u.Hostname()); err == nil {
			return address, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("member %x has no address", m.ID)
}
