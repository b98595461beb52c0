package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/skiff-dev/skiff/controlplane/etcd"
)

// errUsage says how the tool for etcd is called.
var errUsage = errors.New("usage: skiff-controlplane [flags] etcd members | remove NAME ADDRESS | snapshot >FILE | restore <FILE | rejoin NAME | defrag | compact | keys")

// operateEtcd is the tool for this node's etcd. It works beside the control
// plane that runs, as another process: what it prints is for programs.
func operateEtcd(ctx context.Context, s etcd.Settings, arguments []string, in io.Reader, out io.Writer) error {
	if len(arguments) == 0 {
		return errUsage
	}
	switch command, rest := arguments[0], arguments[1:]; {
	case command == "members" && len(rest) == 0:
		members, err := s.StatusOfMembers(ctx)
		if err != nil {
			return err
		}
		return json.NewEncoder(out).Encode(members)
	case command == "remove" && len(rest) == 2:
		address, err := netip.ParseAddr(rest[1])
		if err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		return s.Remove(ctx, rest[0], address)
	case command == "snapshot" && len(rest) == 0:
		return s.Snapshot(ctx, out)
	case command == "restore" && len(rest) == 0:
		return s.RequestRestore(in)
	case command == "rejoin" && len(rest) == 1:
		return s.RequestRejoin(strings.NewReader(rest[0]))
	case command == "defrag" && len(rest) == 0:
		return s.Defragment(ctx)
	case command == "compact" && len(rest) == 0:
		return s.Compact(ctx)
	case command == "keys" && len(rest) == 0:
		counts, err := s.EncryptionKeys(ctx)
		if err != nil {
			return err
		}
		return json.NewEncoder(out).Encode(counts)
	default:
		return errUsage
	}
}
