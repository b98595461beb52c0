package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/internal/atomicfile"
)

// alarmPoll is how often etcd is asked for alarms, by a function call.
const alarmPoll = 2 * time.Second

// alarmsFile is this program's file below Settings.AlarmsDir.
const alarmsFile = "controlplane"

// watchAlarms keeps the file of alarms on what etcd says until ctx ends.
func (r *run) watchAlarms(ctx context.Context) error {
	path := filepath.Join(r.settings.AlarmsDir, alarmsFile)
	written := []string{""} // unlike anything: what an earlier process wrote goes
	for {
		if alarms := r.member.Alarms(); !slices.Equal(alarms, written) {
			if len(alarms) > 0 {
				r.log.Warn("etcd raises alarms", "alarms", alarms)
			}
			if err := writeAlarms(path, alarms); err != nil {
				return err
			}
			written = alarms
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(alarmPoll):
		}
	}
}

// advice says what an alarm of etcd means and what to do about it, on one line.
func advice(alarm string) string {
	switch alarm {
	case "NOSPACE":
		return "The database is full and takes no writes: delete what is not needed, then run \"skiff etcd defrag\"."
	case "CORRUPT":
		return "The members' databases differ and take no writes: run \"skiff etcd restore\" with a snapshot."
	default:
		return fmt.Sprintf("The database raises the alarm %s.", alarm)
	}
}

// writeAlarms replaces the file in one step, or removes it when there is no
// alarm.
func writeAlarms(path string, alarms []string) error {
	if len(alarms) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("clear the alarms: %w", err)
		}
		return nil
	}
	var lines strings.Builder
	for _, alarm := range alarms {
		lines.WriteString(advice(alarm) + "\n")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write the alarms: %w", err)
	}
	if err := atomicfile.Write(path, []byte(lines.String()), 0o600); err != nil {
		return fmt.Errorf("write the alarms: %w", err)
	}
	return nil
}
