package cluster

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The limits of valid Records.
const (
	minKeep        = time.Hour
	maxKeep        = 366 * day
	minSizeMiB     = 32
	maxSizeMiB     = 100 << 10
	day            = 24 * time.Hour
	keepSuggestion = "use e.g. 24h or 7d"
)

// withDefaults fills in empty fields, which an older state file does not have.
func (r Records) withDefaults() Records {
	otherwise := DefaultRecords()
	r.Keep = cmp.Or(r.Keep, otherwise.Keep)
	r.MetricsSize = cmp.Or(r.MetricsSize, otherwise.MetricsSize)
	r.LogsSize = cmp.Or(r.LogsSize, otherwise.LogsSize)
	return r
}

// ParseKeep parses how long records are kept: a whole number of days such as 7d, or a
// duration such as 24h or 90m.
func ParseKeep(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("invalid duration %q: %s", text, keepSuggestion)
		}
		return time.Duration(n) * day, nil
	}
	keep, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("invalid duration %q: %s", text, keepSuggestion)
	}
	return keep, nil
}

// Age returns how long records are kept. Like MetricsBytes and LogsBytes, it is for a
// spec that is valid.
func (r Records) Age() time.Duration {
	age, _ := ParseKeep(r.withDefaults().Keep)
	return age
}

// MetricsBytes returns how many bytes metrics may use.
func (r Records) MetricsBytes() int64 { return sizeBytes(r.withDefaults().MetricsSize) }

// LogsBytes returns how many bytes logs may use.
func (r Records) LogsBytes() int64 { return sizeBytes(r.withDefaults().LogsSize) }

func sizeBytes(quantity string) int64 {
	mib, _ := MiB(quantity)
	return int64(mib) << 20
}

func validateRecords(r Records) []error {
	r = r.withDefaults()
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	switch keep, err := ParseKeep(r.Keep); {
	case err != nil:
		fault("records.keep: %w", err)
	case keep < minKeep || keep > maxKeep:
		fault("records.keep is %s: it must be between 1h and 366d", r.Keep)
	}
	for _, size := range []struct{ key, value string }{{"metricsSize", r.MetricsSize}, {"logsSize", r.LogsSize}} {
		switch mib, err := MiB(size.value); {
		case err != nil:
			fault("invalid records.%s %q: use e.g. 200Mi or 1Gi", size.key, size.value)
		case mib < minSizeMiB || mib > maxSizeMiB:
			fault("records.%s is %s: it must be between %dMi and %dGi", size.key, size.value, minSizeMiB, maxSizeMiB>>10)
		}
	}
	return faults
}
