// Command reference generates what is derived from skiff's command line and its
// table of settings: the reference pages and the JSON Schema in docs/guide and, for
// releases, man pages and shell completions.
//
//	go run ./cmd/skiff/internal/reference -guide docs/guide
//	go run ./cmd/skiff/internal/reference -man DIR -completions DIR
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/command"
)

func main() {
	guide := flag.String("guide", "", "write the reference pages and the JSON Schema to this `directory`")
	man := flag.String("man", "", "write man pages to this `directory`")
	completions := flag.String("completions", "", "write shell completions to this `directory`")
	flag.Parse()
	if err := run(*guide, *man, *completions); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(guide, man, completions string) error {
	if guide != "" {
		for name, render := range pages {
			content, err := render()
			if err != nil {
				return fmt.Errorf("generate %s: %w", name, err)
			}
			if err := write(guide, name, content); err != nil {
				return err
			}
		}
	}
	if man != "" {
		if err := os.MkdirAll(man, 0o755); err != nil {
			return err
		}
		header := &doc.GenManHeader{Section: "1", Source: "Skiff", Manual: "Skiff"}
		if err := doc.GenManTree(root(), header, man); err != nil {
			return fmt.Errorf("generate man pages: %w", err)
		}
	}
	if completions != "" {
		return writeCompletions(completions)
	}
	return nil
}

// pages are the generated files of docs/guide.
var pages = map[string]func() ([]byte, error){
	"cli.md":            commandLine,
	"configuration.md":  configuration,
	"skiff.schema.json": schema,
}

// root returns skiff's command line, independent of the environment.
func root() *cobra.Command {
	root := command.New(cli.Streams{In: nil, Out: io.Discard, Err: io.Discard})
	root.DisableAutoGenTag = true
	return root
}

func writeCompletions(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, generate := range map[string]func(path string) error{
		"skiff.bash": func(path string) error { return root().GenBashCompletionFileV2(path, true) },
		"_skiff":     root().GenZshCompletionFile,
		"skiff.fish": func(path string) error { return root().GenFishCompletionFile(path, true) },
		"skiff.ps1":  root().GenPowerShellCompletionFileWithDesc,
	} {
		if err := generate(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("generate %s: %w", name, err)
		}
	}
	return nil
}

func write(dir, name string, content []byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name), content, 0o644)
}
