package pki

import (
	"io/fs"
	"os"
	"path/filepath"
)

// Files are PEM blocks and other small secrets by path below a PKI directory.
type Files map[string][]byte

// ReadFiles reads all files below dir. The error wraps fs.ErrNotExist if dir does
// not exist.
func ReadFiles(dir string) (Files, error) {
	files := Files{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		files[filepath.ToSlash(name)] = content
		return err
	})
	return files, err
}
