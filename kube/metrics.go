package kube

import (
	"bufio"
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/skiff-dev/skiff/kube/feed"
)

// rateCounter computes the rate of a growing number.
type rateCounter struct {
	value float64
	at    time.Time
}

func (k *rateCounter) rate(value float64, now time.Time) float64 {
	before := *k
	k.value, k.at = value, now
	if before.at.IsZero() || value < before.value {
		return 0
	}
	return (value - before.value) / max(now.Sub(before.at).Seconds(), 0.1)
}

// readMetrics adds the metrics that the dashboard shows to status.
func readMetrics(content []byte, status *feed.ControlPlaneStatus, requests *rateCounter) {
	var total float64
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, ok := metric(lines.Text())
		if !ok {
			continue
		}
		switch name {
		case "apiserver_request_total":
			total += value
		case "apiserver_current_inflight_requests":
			status.InFlight += int64(value)
		case "apiserver_storage_size_bytes", "etcd_mvcc_db_total_size_in_bytes":
			status.EtcdBytes = max(status.EtcdBytes, int64(value))
		case "apiserver_resource_objects", "apiserver_storage_objects":
			status.EtcdObjects += max(0, int64(value))
		}
	}
	status.RequestsPerS = requests.rate(total, time.Now())
}

// metric parses a sample of the Prometheus text format, without its labels.
func metric(text string) (name string, value float64, ok bool) {
	if text == "" || text[0] == '#' {
		return "", 0, false
	}
	end := strings.IndexAny(text, "{ ")
	space := strings.LastIndexByte(text, ' ')
	if end < 0 || space < end {
		return "", 0, false
	}
	value, err := strconv.ParseFloat(text[space+1:], 64)
	return text[:end], value, err == nil
}
