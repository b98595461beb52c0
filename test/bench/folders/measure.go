package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Places that are measured, and where the pod has them.
const (
	placeFolder = "folder"
	placeClaim  = "claim of class host"
	placeDisk   = "claim of class standard"

	folderPath = "/folder"
	claimPath  = "/claim"
	diskPath   = "/disk"
)

// smallFile is the content of each of the many files.
var smallFile = []byte(strings.Repeat("a small file, as in a tree of sources\n", 27)) // about 1 KiB

// work is what is done in each place.
type work struct{ files, megabytes, rounds int }

func (w *work) flags(set *flag.FlagSet) {
	set.IntVar(&w.files, "files", 10_000, "number of small files")
	set.IntVar(&w.megabytes, "size", 1024, "size of the large file, in MiB")
	set.IntVar(&w.rounds, "rounds", 2, "how often everything is done; the fastest counts")
}

// args are the arguments that make measure do this work.
func (w work) args() []string {
	return []string{
		measuring, fmt.Sprintf("-files=%d", w.files), fmt.Sprintf("-size=%d", w.megabytes), fmt.Sprintf("-rounds=%d", w.rounds),
	}
}

// result holds the fastest time of each kind, in seconds.
type result struct {
	Place                             string
	Create, Read, Delete, Write, Scan float64
}

// measure does the work in the pod and prints the results. The places take turns, so
// that what else the host does meets all of them.
func measure(args []string) error {
	var w work
	set := flag.NewFlagSet(measuring, flag.ContinueOnError)
	w.flags(set)
	if err := set.Parse(args); err != nil {
		return err
	}
	results := []result{{Place: placeFolder}, {Place: placeClaim}, {Place: placeDisk}}
	dirs := []string{folderPath, claimPath, diskPath}
	for i := range results {
		r := &results[i]
		for _, s := range []*float64{&r.Create, &r.Read, &r.Delete, &r.Write, &r.Scan} {
			*s = math.MaxFloat64
		}
	}
	for round := range w.rounds {
		for i := range results {
			at := (i + round) % len(results)
			if err := results[at].add(w, filepath.Join(dirs[at], "bench")); err != nil {
				return fmt.Errorf("%s: %w", results[at].Place, err)
			}
		}
	}
	return json.NewEncoder(os.Stdout).Encode(results)
}

// add does the work once, in a directory that it creates and removes.
func (r *result) add(w work, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	large := filepath.Join(dir, "large")
	for _, step := range []struct {
		fastest *float64
		do      func() error
	}{
		{&r.Create, func() error { return eachFile(w, dir, create) }},
		{&r.Read, func() error { return eachFile(w, dir, readSmall) }},
		{&r.Delete, func() error { return eachFile(w, dir, os.Remove) }},
		{&r.Write, func() error { return writeLarge(large, w.megabytes) }},
		{&r.Scan, func() error { return readLarge(large) }},
	} {
		begun := time.Now()
		if err := step.do(); err != nil {
			return err
		}
		*step.fastest = min(*step.fastest, time.Since(begun).Seconds())
	}
	return os.RemoveAll(dir)
}

func eachFile(w work, dir string, do func(string) error) error {
	for i := range w.files {
		if err := do(filepath.Join(dir, fmt.Sprintf("file-%d", i))); err != nil {
			return err
		}
	}
	return nil
}

func create(path string) error { return os.WriteFile(path, smallFile, 0o644) }

func readSmall(path string) error {
	_, err := os.ReadFile(path)
	return err
}

func readLarge(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	buffer := make([]byte, 1<<20)
	for {
		if _, err := file.Read(buffer); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// writeLarge writes a file and waits until the disk has it. What is read afterwards
// comes from the page cache, as it does when a program uses what another has built.
func writeLarge(path string, megabytes int) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(i * 7)
	}
	for range megabytes {
		if _, err := file.Write(block); err != nil {
			return err
		}
	}
	return file.Sync()
}
