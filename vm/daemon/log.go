package daemon

import (
	"io"
	"log/slog"

	"github.com/sirupsen/logrus"
	"k8s.io/klog/v2"

	"github.com/skiff-dev/skiff/internal/boundedlog"
)

// maxLog is how large the log grows, in bytes, before it becomes log.1.
const maxLog = 4 << 20

// openLog writes the daemon's log at path, and that of the libraries which have
// one global logger.
func openLog(path string) (*slog.Logger, func(), error) {
	out, err := boundedlog.Open(path, maxLog)
	if err != nil {
		return nil, nil, err
	}
	log := slog.New(slog.NewTextHandler(out, nil))
	logrus.SetOutput(out)
	logrus.SetLevel(logrus.ErrorLevel)
	klog.SetSlogLogger(slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelError})))
	return log, func() {
		logrus.SetOutput(io.Discard)
		klog.SetSlogLogger(slog.New(slog.DiscardHandler))
		_ = out.Close()
	}, nil
}
