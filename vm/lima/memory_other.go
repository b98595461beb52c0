//go:build !linux

package lima

// memoryArguments returns nothing: there are no files in memory here, so that machines
// have private memory.
func memoryArguments(string, []string) ([]string, error) { return nil, nil }

// NoMemory returns why the memory of machines cannot be kept.
func NoMemory() error { return errNoSave }

// hostCPU is not needed where no memory is kept.
func hostCPU() string { return "" }
