// Command oci packs what images.sh has prepared: a directory into a layer, or
// layers into one OCI archive of many images, in which shared layers are stored
// once, or into the files that a registry inside a test image serves.
//
//	oci layer OUT.tar DIRECTORY
//	oci archive OUT.tar LIST LAYERS
//	oci registry DIRECTORY LIST LAYERS
//
// Each line of LIST describes an image: NAME[,NAME], CONFIG-JSON and
// LAYER[ LAYER]..., separated by tabs. LAYERS is the directory of the LAYER.tar
// files.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/skiff-dev/skiff/images/oci"
	"github.com/skiff-dev/skiff/internal/atomicfile"
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
		return packLayer(args[1], args[2])
	case len(args) == 4 && args[0] == "archive":
		return packImages(args[1], args[2], args[3])
	case len(args) == 4 && args[0] == "registry":
		return fillRegistry(args[1], args[2], args[3])
	}
	return errors.New("usage: oci layer OUT.tar DIRECTORY | oci archive OUT.tar LIST LAYERS | oci registry DIRECTORY LIST LAYERS")
}

func packLayer(out, root string) error {
	var files []oci.File
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
		file := oci.File{Path: filepath.ToSlash(name), Mode: mode(info.Mode()), Dir: entry.IsDir()}
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			file.Link, err = os.Readlink(path)
		case info.Mode().IsRegular():
			file.Data, err = os.ReadFile(path)
		case !file.Dir:
			return fmt.Errorf("%s is not a regular file, symbolic link or directory", path)
		}
		files = append(files, file)
		return err
	})
	if err != nil {
		return err
	}
	content, err := oci.Layer(files)
	if err != nil {
		return err
	}
	return replace(out, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// mode returns a file's mode as in tar(5).
func mode(m fs.FileMode) int64 {
	bits := int64(m.Perm())
	for flag, bit := range map[fs.FileMode]int64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&flag != 0 {
			bits |= bit
		}
	}
	return bits
}

// packImages writes the images of a list, with layers from dir, as one archive.
func packImages(out, list, dir string) error {
	images, err := readImages(list, dir)
	if err != nil {
		return err
	}
	return replace(out, func(w io.Writer) error { return oci.Write(w, images...) })
}

// readImages reads a list and the layers of its images from dir.
func readImages(list, dir string) (all []oci.Image, err error) {
	lines, err := os.ReadFile(list)
	if err != nil {
		return nil, err
	}
	layers := map[string][]byte{} // by name; each is read once
	for line := range strings.Lines(string(lines)) {
		images, names, err := parse(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", list, err)
		}
		for _, name := range names {
			if layers[name] == nil {
				if layers[name], err = os.ReadFile(filepath.Join(dir, name+".tar")); err != nil {
					return nil, err
				}
			}
			for i := range images {
				images[i].Layers = append(images[i].Layers, layers[name])
			}
		}
		all = append(all, images...)
	}
	return all, nil
}

// parse parses a line of a list. It returns an image for each name, without layers,
// and the names of the layers.
func parse(line string) (images []oci.Image, layers []string, err error) {
	fields := strings.Split(strings.TrimSpace(line), "\t")
	if len(fields) != 3 {
		return nil, nil, fmt.Errorf("invalid line %q: want names, configuration and layers, separated by tabs", line)
	}
	one := oci.Image{Arch: runtime.GOARCH}
	if err := json.Unmarshal([]byte(fields[1]), &one.Config); err != nil {
		return nil, nil, fmt.Errorf("configuration %s: %w", fields[1], err)
	}
	for name := range strings.SplitSeq(fields[0], ",") {
		one.Name = name
		images = append(images, one)
	}
	return images, strings.Fields(fields[2]), nil
}

// replace writes a file atomically.
func replace(path string, write func(io.Writer) error) error {
	file, err := atomicfile.Create(path, 0o644)
	if err != nil {
		return err
	}
	defer file.Discard()
	if err := write(file); err != nil {
		return err
	}
	return file.Commit()
}
