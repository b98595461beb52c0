package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// emulator is the Debian package of QEMU for an architecture.
var emulator = map[string]string{"amd64": "qemu-system-x86", "arm64": "qemu-system-arm"}

// debPackage is nfpm's configuration (https://nfpm.goreleaser.com/configuration). It
// is written as JSON, which is YAML.
type debPackage struct {
	Name        string `json:"name"`
	Arch        string `json:"arch"`
	Platform    string `json:"platform"`
	Version     string `json:"version"`
	Section     string `json:"section"`
	Priority    string `json:"priority"`
	Maintainer  string `json:"maintainer"`
	Description string `json:"description"`
	Homepage    string `json:"homepage"`
	License     string `json:"license"`
	// Recommends are what virtual machines need. Sandboxes need nothing.
	Recommends      []string     `json:"recommends"`
	DisableGlobbing bool         `json:"disable_globbing"`
	Contents        []debContent `json:"contents"`
}

type debContent struct {
	Source      string  `json:"src"`
	Destination string  `json:"dst"`
	FileInfo    debInfo `json:"file_info"`
}

type debInfo struct {
	Owner string `json:"owner"`
	Group string `json:"group"`
	Mode  uint32 `json:"mode"`
}

// debConfig describes the package that installs entries below /usr.
func debConfig(n name, entries []entry) debPackage {
	config := debPackage{
		Name: "skiff", Arch: n.Arch, Platform: n.OS, Version: n.Version, Section: "utils", Priority: "optional",
		Maintainer: "The Skiff authors <skiff-dev@users.noreply.github.com>",
		Homepage:   "https://github.com/skiff-dev/skiff", License: "Apache-2.0",
		Description: "multi-node Kubernetes clusters on one machine\n" +
			"Skiff runs upstream Kubernetes on virtual machines, or on Linux namespaces\n" +
			"as root. The package contains the program and its node image.",
		Recommends:      []string{emulator[n.Arch], "qemu-utils", "openssh-client"},
		DisableGlobbing: true,
	}
	for _, e := range entries {
		config.Contents = append(config.Contents, debContent{
			Source: e.source, Destination: debian(e.path),
			FileInfo: debInfo{Owner: "root", Group: "root", Mode: uint32(e.mode())},
		})
	}
	return config
}

// deb has nfpm write the Debian package.
func (p packer) deb(ctx context.Context, to string, entries []entry) error {
	content, err := json.Marshal(debConfig(p.name, entries))
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "skiff-release-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	config := filepath.Join(work, "nfpm.yaml")
	if err := os.WriteFile(config, content, 0o600); err != nil {
		return err
	}
	command := exec.CommandContext(ctx, p.nfpm, "package", "--config", config, "--packager", "deb", "--target", to)
	command.Env = append(os.Environ(), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", p.time.Unix()))
	if out, err := command.CombinedOutput(); err != nil {
		_ = os.Remove(to)
		return fmt.Errorf("nfpm: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
