package buildkit

import (
	"fmt"
	"io"
	"os"
	"regexp"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// maxDockerfile bounds a Dockerfile, in bytes.
const maxDockerfile = 1 << 20

// ReadDockerfile reads a Dockerfile.
func ReadDockerfile(r io.Reader) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(r, maxDockerfile+1))
	if err == nil && len(content) > maxDockerfile {
		err = fmt.Errorf("the Dockerfile has more than %d bytes", maxDockerfile)
	}
	return content, err
}

// ReadSyntax returns Syntax of the Dockerfile at path.
func ReadSyntax(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	content, err := ReadDockerfile(file)
	return Syntax(content), err
}

// stable matches Docker's own frontend in a version that the builder's can replace.
var stable = regexp.MustCompile(`^(docker\.io/)?docker/dockerfile(:(latest|1(\.[0-9]+){0,2}))?$`)

// Syntax returns the image of the frontend that a Dockerfile asks for with "# syntax=…".
// It is empty for Docker's own, which the builder has, so that it need not be pulled.
func Syntax(dockerfile []byte) string {
	image, _, _, found := parser.DetectSyntax(dockerfile)
	if !found || stable.MatchString(image) {
		return ""
	}
	return image
}
