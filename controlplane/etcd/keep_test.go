package etcd_test

import (
	"slices"
	"testing"
	"time"

	"github.com/skiff-dev/skiff/controlplane/etcd"
)

func TestSnapshotsAreKeptByNumberAndAge(t *testing.T) {
	now := time.Date(2026, 6, 30, 12, 0, 0, 0, time.UTC)
	named := func(ages ...time.Duration) (names []string) {
		for _, age := range ages {
			names = append(names, now.Add(-age).Format("20060102T150405Z")+".db")
		}
		return names
	}
	const hour, day = time.Hour, 24 * time.Hour
	for _, tt := range []struct {
		name    string
		files   []string
		expired []string
	}{
		{"few and young", named(hour, 7*hour), nil},
		{"too many", named(hour, 7*hour, 13*hour, 19*hour, 25*hour, 31*hour, 37*hour, 43*hour, 49*hour), named(49 * hour)},
		{"too old", named(hour, 15*day), named(15 * day)},
		{"the only one, old", named(400 * day), nil},
		{"other files", []string{"notes.txt", "x.db", "20260101T000000Z.db.partial"}, nil},
		{"none", nil, nil},
	} {
		if got := etcd.Expired(tt.files, now); !slices.Equal(got, tt.expired) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.expired)
		}
	}
}
