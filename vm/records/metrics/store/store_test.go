package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

func settings(t *testing.T) Config {
	return Config{
		Dir: filepath.Join(t.TempDir(), "metrics"), Keep: 24 * time.Hour, MaxBytes: 200 << 20,
		Log: slog.New(slog.DiscardHandler),
	}
}

func mustOpen(t *testing.T, config Config, now time.Time) *Store {
	t.Helper()
	s, err := Open(config, now)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// put appends one sample of a series.
func put(s *Store, at time.Time, name string, value float64) error {
	return s.Append(context.Background(), at, func(a storage.Appender) error {
		_, err := a.Append(0, labels.FromStrings(model.MetricNameLabel, name), at.UnixMilli(), value)
		return err
	})
}

// got returns the values of a series.
func got(t *testing.T, from storage.Queryable, name string) []float64 {
	t.Helper()
	querier, err := from.Querier(0, 1<<60)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = querier.Close() }()
	set := querier.Select(t.Context(), false, nil, labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name))
	var values []float64
	for set.Next() {
		iterator := set.At().Iterator(nil)
		for iterator.Next() == chunkenc.ValFloat {
			_, v := iterator.At()
			values = append(values, v)
		}
	}
	if err := set.Err(); err != nil {
		t.Fatal(err)
	}
	return values
}

func TestSamplesSurviveARestart(t *testing.T) {
	config, now := settings(t), time.Now()
	s := mustOpen(t, config, now)
	for i := range 3 {
		if err := put(s, now.Add(time.Duration(i)*time.Second), "up", float64(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, config, now)
	defer func() { _ = s.Close() }()
	if values := got(t, s, "up"); fmt.Sprint(values) != "[0 1 2]" || s.SetAside != "" {
		t.Errorf("values %v, set aside %q", values, s.SetAside)
	}
}

func TestAStoreWhoseProcessWasKilledIsReadFromACopy(t *testing.T) {
	config, now := settings(t), time.Now()
	s := mustOpen(t, config, now)
	defer func() { _ = s.Close() }()
	if err := put(s, now, "up", 7); err != nil {
		t.Fatal(err)
	}
	// The end of the log was being written.
	segments, err := filepath.Glob(filepath.Join(config.Dir, "wal", "0*"))
	if err != nil || len(segments) == 0 {
		t.Fatal(segments, err)
	}
	log, err := os.OpenFile(segments[len(segments)-1], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.WriteString("torn"); err != nil {
		t.Fatal(err)
	}
	log.Close()
	before := tree(t, config.Dir)
	temporary := t.TempDir()
	c, err := OpenCopy(config.Dir, temporary, config.Log)
	if err != nil {
		t.Fatal(err)
	}
	if values := got(t, c, "up"); fmt.Sprint(values) != "[7]" {
		t.Errorf("values %v", values)
	}
	if newest := c.Newest(); newest.UnixMilli() != now.UnixMilli() {
		t.Errorf("newest %s, want %s", newest, now)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if after := tree(t, config.Dir); after != before {
		t.Errorf("reading changed the files:\n%s\n%s", before, after)
	}
	if left, _ := os.ReadDir(temporary); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	if _, err := OpenCopy(filepath.Join(temporary, "absent"), temporary, config.Log); !errors.Is(err, ErrAbsent) {
		t.Errorf("an absent store: %v", err)
	}
}

// tree lists the files of a directory with their sizes.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			fmt.Fprintln(&all, path, info.Size(), info.ModTime().UnixNano())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

func TestADamagedStoreIsSetAsideAndANewOneBegins(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, dir string){
		"a block without an index": func(t *testing.T, dir string) {
			block := filepath.Join(dir, "01ARZ3NDEKTSV4RRFFQ69G5FAV")
			write(t, filepath.Join(block, "meta.json"), `{"ulid":"01ARZ3NDEKTSV4RRFFQ69G5FAV","minTime":1,"maxTime":2,"version":1,"compaction":{"level":1,"sources":["01ARZ3NDEKTSV4RRFFQ69G5FAV"]}}`)
			write(t, filepath.Join(block, "chunks", "000001"), "x")
		},
		"a file in place of the directory": func(t *testing.T, dir string) {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			write(t, dir, "not a directory")
		},
		"a file in place of the log": func(t *testing.T, dir string) {
			wal := filepath.Join(dir, "wal")
			if err := os.RemoveAll(wal); err != nil {
				t.Fatal(err)
			}
			write(t, wal, "not a directory")
		},
	} {
		t.Run(name, func(t *testing.T) {
			config, now := settings(t), time.Now()
			s := mustOpen(t, config, now)
			if err := errors.Join(put(s, now, "up", 1), s.Close()); err != nil {
				t.Fatal(err)
			}
			damage(t, config.Dir)
			s = mustOpen(t, config, now)
			defer func() { _ = s.Close() }()
			if s.SetAside != config.Dir+".damaged" || s.Reason == "" || strings.Contains(s.Reason, "\n") {
				t.Errorf("set aside %q because of %q", s.SetAside, s.Reason)
			}
			if _, err := os.Stat(s.SetAside); err != nil {
				t.Error(err)
			}
			if err := put(s, now, "up", 2); err != nil || fmt.Sprint(got(t, s, "up")) != "[2]" {
				t.Errorf("the new store: %v, %v", got(t, s, "up"), err)
			}
		})
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedLogLosesOnlyItsEnd(t *testing.T) {
	config, now := settings(t), time.Now()
	s := mustOpen(t, config, now)
	if err := errors.Join(put(s, now, "up", 1), s.Close()); err != nil {
		t.Fatal(err)
	}
	segments, _ := filepath.Glob(filepath.Join(config.Dir, "wal", "0*"))
	log, err := os.OpenFile(segments[len(segments)-1], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.WriteString(strings.Repeat("damage", 100)); err != nil {
		t.Fatal(err)
	}
	log.Close()
	s = mustOpen(t, config, now)
	defer func() { _ = s.Close() }()
	if values := got(t, s, "up"); fmt.Sprint(values) != "[1]" || s.SetAside != "" {
		t.Errorf("values %v, set aside %q", values, s.SetAside)
	}
}

func TestAClockThatGoesBackALittleChangesNothing(t *testing.T) {
	config, now := settings(t), time.Now()
	s := mustOpen(t, config, now)
	defer func() { _ = s.Close() }()
	for _, jump := range []time.Duration{0, -late / 2, time.Second} {
		if err := put(s, now.Add(jump), "up", jump.Seconds()); err != nil {
			t.Errorf("after a jump of %s: %v", jump, err)
		}
	}
	if values := got(t, s, "up"); fmt.Sprint(values) != fmt.Sprint([]float64{(-late / 2).Seconds(), 0, 1}) {
		t.Errorf("values %v", values)
	}
}

func TestAStoreFromTheFutureIsSetAside(t *testing.T) {
	config, now := settings(t), time.Now()
	s := mustOpen(t, config, now)
	future := now.Add(365 * 24 * time.Hour)
	if err := put(s, future, "up", 1); err != nil {
		t.Fatal(err)
	}
	// The clock is right again.
	if err := put(s, now, "up", 2); !errors.Is(err, ErrClockWentBack) {
		t.Errorf("a sample of the present: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, config, now)
	defer func() { _ = s.Close() }()
	if s.SetAside == "" || !strings.Contains(s.Reason, ErrClockWentBack.Error()) {
		t.Errorf("set aside %q because of %q", s.SetAside, s.Reason)
	}
	if err := put(s, now, "up", 2); err != nil {
		t.Error(err)
	}
}

func TestNothingIsWrittenToADiskThatIsNearlyFull(t *testing.T) {
	config, now := settings(t), time.Now()
	free := int64(1 << 40)
	config.FreeBytes = func() int64 { return free }
	s := mustOpen(t, config, now)
	defer func() { _ = s.Close() }()
	free = 100 << 20
	if err := put(s, now, "up", 1); !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), "100 MiB") {
		t.Errorf("appended: %v", err)
	}
	if values := got(t, s, "up"); values != nil {
		t.Errorf("values %v", values)
	}
	other := settings(t)
	other.FreeBytes = config.FreeBytes
	if _, err := Open(other, now); !errors.Is(err, ErrNoSpace) {
		t.Errorf("opened: %v", err)
	}
	free = 1 << 40
	if err := put(s, now, "up", 2); err != nil {
		t.Errorf("with space again: %v", err)
	}
}

// TestOldSamplesAreDeletedByAgeAndBySize records for ten hours in fake time.
func TestOldSamplesAreDeletedByAgeAndBySize(t *testing.T) {
	for name, test := range map[string]struct {
		keep     time.Duration
		maxBytes int64
		least    time.Duration // of what remains
		most     time.Duration
	}{
		"by age":  {3 * time.Hour, 1 << 40, 3 * time.Hour, 6 * time.Hour},
		"by size": {1000 * time.Hour, 400 << 10, 45 * time.Minute, 9 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			config := settings(t)
			config.Keep, config.MaxBytes = test.keep, test.maxBytes
			synctest.Test(t, func(t *testing.T) {
				s := mustOpen(t, config, time.Now())
				defer func() { _ = s.Close() }()
				for range 10 * 12 {
					err := s.Append(t.Context(), time.Now(), func(a storage.Appender) error {
						for i := range 100 {
							if _, err := a.Append(0, labels.FromStrings(model.MetricNameLabel, "up", "i", fmt.Sprint(i)), time.Now().UnixMilli(), float64(time.Now().UnixNano()%7919)); err != nil {
								return err
							}
						}
						return nil
					})
					if err != nil {
						t.Fatal(err)
					}
					time.Sleep(5 * time.Minute)
				}
				oldest, err := s.db.StartTime()
				if err != nil {
					t.Fatal(err)
				}
				if age := time.Since(time.UnixMilli(oldest)); age < test.least || age > test.most {
					t.Errorf("the oldest sample is %s old, want %s to %s", age, test.least, test.most)
				}
			})
		})
	}
}

// A panic in a goroutine of the database would end the daemon, so only maintain, which is
// guarded, may look at its files. The database would report the block in its warnings.
func TestTheDatabaseReadsNoFilesOnItsOwn(t *testing.T) {
	var warned bytes.Buffer
	config := settings(t)
	config.Log = slog.New(slog.NewTextHandler(&warned, nil))
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, config, time.Now())
		defer func() { _ = s.Close() }()
		if err := put(s, time.Now(), "up", 1); err != nil {
			t.Fatal(err)
		}
		block := filepath.Join(config.Dir, "01ARZ3NDEKTSV4RRFFQ69G5FAV")
		write(t, filepath.Join(block, "meta.json"), `{"ulid":"01ARZ3NDEKTSV4RRFFQ69G5FAV","minTime":1,"maxTime":2,"version":1,"compaction":{"level":1,"sources":["01ARZ3NDEKTSV4RRFFQ69G5FAV"]}}`)
		write(t, filepath.Join(block, "index"), "damaged")
		time.Sleep(time.Hour)
		synctest.Wait()
		if warned.Len() != 0 {
			t.Errorf("warned: %s", warned.String())
		}
	})
}

// Chunks that are full leave the heap before their block is written.
func TestFullChunksAreMapped(t *testing.T) {
	config := settings(t)
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, config, time.Now())
		defer func() { _ = s.Close() }()
		for i := range 4 * 40 { // a chunk has 120 samples
			if err := put(s, time.Now(), "up", float64(i*i%97)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(15 * time.Second)
		}
		mapped, err := filepath.Glob(filepath.Join(config.Dir, "chunks_head", "0*"))
		if err != nil || len(mapped) == 0 {
			t.Errorf("mapped files: %v, %v", mapped, err)
		}
	})
}

func TestAFaultIsAnError(t *testing.T) {
	if err := guard(func() error { panic("index out of range") }); err == nil || !strings.Contains(err.Error(), "index out of range") {
		t.Errorf("got %v", err)
	}
}

func TestSeriesThatEndedLeaveTheMemory(t *testing.T) {
	config, now := settings(t), time.Now()
	s := mustOpen(t, config, now)
	defer func() { _ = s.Close() }()
	for i, v := range []float64{1, math.Float64frombits(value.StaleNaN)} {
		at := now.Add(time.Duration(i) * time.Second)
		err := s.Append(t.Context(), at, func(a storage.Appender) error {
			for i := range maxStale + 1 {
				if _, err := a.Append(0, labels.FromStrings(model.MetricNameLabel, "up", "i", fmt.Sprint(i)), at.UnixMilli(), v); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(put(s, now.Add(2*time.Second), "alive", 1), s.limitHead()); err != nil {
		t.Fatal(err)
	}
	if n := s.Series(); n != 1 {
		t.Errorf("%d series are in memory", n)
	}
	if values := got(t, s, "up"); len(values) != 2*(maxStale+1) {
		t.Errorf("%d samples are stored", len(values))
	}
}
