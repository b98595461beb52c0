//go:build !linux

package saved

import "os"

// Clone reports that this host cannot copy a file by sharing its blocks.
func Clone(_, _ *os.File) bool { return false }
