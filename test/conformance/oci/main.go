// Command oci packs what images.sh has laid out: a directory into a layer, layers
// into an OCI archive.
//
//	oci layer OUT.tar DIRECTORY
//	oci image OUT.tar CONFIG-JSON NAME[,NAME] LAYER.tar...
package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/skiff-dev/skiff/test/images/archive"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "oci:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 3 && args[0] == "layer":
		return layer(args[1], args[2])
	case len(args) > 4 && args[0] == "image":
		return image(args[1], args[2], strings.Split(args[3], ","), args[4:])
	}
	return fmt.Errorf("usage: oci layer OUT.tar DIRECTORY | oci image OUT.tar CONFIG NAMES LAYER.tar")
}

func layer(out, root string) error {
	var files []archive.File
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		file := archive.File{Path: filepath.ToSlash(name), Mode: mode(info.Mode()), Dir: entry.IsDir()}
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			file.Link, err = os.Readlink(path)
		case info.Mode().IsRegular():
			file.Data, err = os.ReadFile(path)
		case !file.Dir:
			return fmt.Errorf("%s is neither file, link nor directory", path)
		}
		files = append(files, file)
		return err
	})
	if err != nil {
		return err
	}
	content, err := archive.Layer(files)
	if err != nil {
		return err
	}
	return os.WriteFile(out, content, 0o644)
}

// mode is a file's as tar(5) has it.
func mode(m fs.FileMode) int64 {
	bits := int64(m.Perm())
	for flag, bit := range map[fs.FileMode]int64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&flag != 0 {
			bits |= bit
		}
	}
	return bits
}

func image(out, config string, names, layers []string) error {
	one := archive.Image{Arch: runtime.GOARCH}
	if err := json.Unmarshal([]byte(config), &one.Config); err != nil {
		return fmt.Errorf("configuration %s: %w", config, err)
	}
	for _, path := range layers {
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		one.Layers = append(one.Layers, content)
	}
	var all []archive.Image
	for _, name := range names {
		one.Name = name
		all = append(all, one)
	}
	temporary := out + ".new"
	file, err := os.Create(temporary)
	if err != nil {
		return err
	}
	if err := archive.Write(file, all...); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(temporary, out)
}
