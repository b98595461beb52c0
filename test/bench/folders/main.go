// Command folders measures a folder of the host beside the data disk, from one pod in
// one run: many small files and one large file, in the folder (hostPath), in a claim of
// class host, and in one of class standard. It starts a cluster of sandboxes with a
// separate SKIFF_HOME and kubeconfig, and deletes it at the end.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/skiff-dev/skiff/test/bench/cli"
	"github.com/skiff-dev/skiff/test/bench/figure"
	"github.com/skiff-dev/skiff/test/bench/podimage"
)

// goalRatio is how much more time than the data disk a folder may take: a bind mount
// should cost nothing, and the rest is noise.
const goalRatio = 1.25

const (
	cluster   = "bench"
	imageName = "skiff.test/folders:1"
	// measuring is the argument that makes this program the pod's.
	measuring = "measure"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == measuring {
		if err := measure(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	b := &bench{}
	out := flag.String("out", "build/bench/folders.json", "output file for the figures")
	flag.StringVar(&b.program, "skiff", "bin/skiff", "the skiff program, with the image in the same directory")
	b.work.flags(flag.CommandLine)
	flag.Parse()
	figure.Main("folders", *out, b.run)
}

type bench struct {
	program string
	work    work
	skiff   cli.Skiff
}

func (b *bench) run(ctx context.Context) (figures []figure.Figure, err error) {
	if b.skiff, err = cli.New(b.program, "SKIFF_DRIVER=sandbox"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.skiff.Delete(ctx, cluster)) }()
	if err := b.up(ctx); err != nil {
		return nil, err
	}
	printed, err := b.runPod(ctx)
	if err != nil {
		return nil, err
	}
	var results []result
	if err := json.Unmarshal(printed, &results); err != nil {
		return nil, fmt.Errorf("read what the pod printed: %w: %s", err, printed)
	}
	return compare(b.work, results)
}

// up starts a cluster whose nodes have a folder beside their own disks: both are
// directories below the one of this run, so on one file system of the host.
func (b *bench) up(ctx context.Context) error {
	archive, folder := filepath.Join(b.skiff.Dir, "image.tar"), filepath.Join(b.skiff.Dir, "folder")
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	layer, err := podimage.Layer()
	if err != nil {
		return err
	}
	if err := podimage.Write(archive, imageName, layer); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"up", cluster, "--workers", "1", "--mount", folder + ":" + folderPath},
		{"image", "load", "--cluster", cluster, archive},
	} {
		if _, err := b.skiff.Run(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// compare returns the figures of the two ways to a folder against the data disk's.
func compare(w work, results []result) ([]figure.Figure, error) {
	byPlace := map[string]result{}
	for _, r := range results {
		byPlace[r.Place] = r
	}
	disk, ok := byPlace[placeDisk]
	if !ok {
		return nil, errors.New("the pod did not measure the data disk")
	}
	var figures []figure.Figure
	for _, place := range []string{placeFolder, placeClaim} {
		measured, ok := byPlace[place]
		if !ok {
			return nil, fmt.Errorf("the pod did not measure the %s", place)
		}
		for _, f := range []struct {
			what             string
			seconds, against float64
		}{
			{fmt.Sprintf("create %d files", w.files), measured.Create, disk.Create},
			{fmt.Sprintf("read %d files", w.files), measured.Read, disk.Read},
			{fmt.Sprintf("delete %d files", w.files), measured.Delete, disk.Delete},
			{fmt.Sprintf("write and sync %d MiB", w.megabytes), measured.Write, disk.Write},
			{fmt.Sprintf("read %d MiB", w.megabytes), measured.Scan, disk.Scan},
		} {
			figures = append(figures, figure.New(f.what+", "+place, "s", f.seconds, goalRatio*f.against).Against(f.against))
		}
	}
	return figures, nil
}
