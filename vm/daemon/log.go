package daemon

import (
	"io"
	"log/slog"
	"os"
	"sync"

	"github.com/sirupsen/logrus"
	"k8s.io/klog/v2"
)

// maxLog is how large the log grows, in bytes, before it becomes log.1.
const maxLog = 4 << 20

// openLog writes the daemon's log at path, and that of the libraries which have
// one global logger.
func openLog(path string) (*slog.Logger, func(), error) {
	out := &boundedFile{path: path}
	if err := out.open(); err != nil {
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

// boundedFile is a log file that never takes more than twice maxLog.
type boundedFile struct {
	path string

	mu   sync.Mutex // guards file and size
	file *os.File
	size int64
}

func (b *boundedFile) open() error {
	file, err := os.OpenFile(b.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return err
	}
	b.file, b.size = file, info.Size()
	return nil
}

func (b *boundedFile) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.size+int64(len(p)) > maxLog {
		_ = b.file.Close()
		if err := os.Rename(b.path, b.path+".1"); err != nil {
			return 0, err
		}
		if err := b.open(); err != nil {
			return 0, err
		}
	}
	n, err := b.file.Write(p)
	b.size += int64(n)
	return n, err
}

func (b *boundedFile) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.file.Close()
}
