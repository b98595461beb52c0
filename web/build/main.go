// Command build bundles the front end of the dashboard into files that the host
// program embeds: build -app DIR -modules DIR -out DIR. It needs the packages of
// package-lock.json in the directory of -modules, and nothing else: TypeScript is
// compiled by esbuild. With -tests it bundles the front end's tests.
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

func main() {
	app := flag.String("app", "web/app", "`directory` of the sources")
	modules := flag.String("modules", "build/web/node_modules", "`directory` of the npm packages")
	out := flag.String("out", "web/dist", "`directory` to write to")
	tests := flag.Bool("tests", false, "bundle the tests of the front end instead, for node --test")
	flag.Parse()
	work := run
	if *tests {
		work = bundleTests
	}
	err := absolute(app, modules, out)
	if err == nil {
		err = work(*app, *modules, *out)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "web/build: %s\n", err)
		os.Exit(1)
	}
}

// absolute makes paths absolute, as esbuild needs them.
func absolute(paths ...*string) error {
	for _, path := range paths {
		abs, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = abs
	}
	return nil
}

// run replaces what is in out by a new build. Sources that do not compile change nothing.
func run(app, modules, out string) error {
	files, names, inputs, err := bundle(app, modules)
	if err != nil {
		return err
	}
	if files["licenses.txt"], err = licenses(modules, inputs); err != nil {
		return err
	}
	index, err := os.ReadFile(filepath.Join(app, "index.html"))
	if err != nil {
		return err
	}
	if err := addImages(filepath.Join(app, "src"), index, files, names); err != nil {
		return err
	}
	return write(out, link(index, names), files)
}

// bundleTests writes a module for each file of tests.
func bundleTests(app, modules, out string) error {
	entries, err := filepath.Glob(filepath.Join(app, "test", "*.test.ts"))
	if err != nil {
		return err
	}
	result := api.Build(api.BuildOptions{
		EntryPoints: entries, AbsWorkingDir: app, NodePaths: []string{modules}, Outdir: out, OutExtension: map[string]string{".js": ".mjs"},
		Bundle: true, Format: api.FormatESModule, Platform: api.PlatformNode, Target: api.ES2022, Sourcemap: api.SourceMapInline, Write: true,
	})
	return failure(result.Errors)
}

// failure returns what esbuild reports as one error.
func failure(errs []api.Message) error {
	if len(errs) == 0 {
		return nil
	}
	text := api.FormatMessages(errs, api.FormatMessagesOptions{Kind: api.ErrorMessage})
	return errors.New(strings.TrimSpace(strings.Join(text, "")))
}

// bundle returns the compiled files by name, the names of those that the page refers
// to by the name that it uses, and the paths of all sources.
func bundle(app, modules string) (files map[string][]byte, names map[string]string, inputs []string, err error) {
	result := api.Build(api.BuildOptions{
		EntryPoints: []string{filepath.Join(app, "src", "main.tsx")}, AbsWorkingDir: app, NodePaths: []string{modules}, Outdir: filepath.Join(app, "out"),
		Bundle: true, Splitting: true, Format: api.FormatESModule, Platform: api.PlatformBrowser, Target: api.ES2022,
		MinifyWhitespace: true, MinifyIdentifiers: true, MinifySyntax: true, LegalComments: api.LegalCommentsNone, Charset: api.CharsetUTF8,
		EntryNames: "[name]-[hash]", ChunkNames: "[name]-[hash]", AssetNames: "[name]-[hash]", PublicPath: "/assets/",
		Define:   map[string]string{"process.env.NODE_ENV": `"production"`},
		Loader:   map[string]api.Loader{".svg": api.LoaderFile, ".woff2": api.LoaderFile},
		Metafile: true,
	})
	if err := failure(result.Errors); err != nil {
		return nil, nil, nil, err
	}
	files, names = map[string][]byte{}, map[string]string{}
	for _, f := range result.OutputFiles {
		name := filepath.Base(f.Path)
		files[name] = f.Contents
		// The entry point and its style sheet are named after it.
		if stem, _, ok := strings.Cut(name, "-"); ok && stem == "main" {
			names["main"+filepath.Ext(name)] = name
		}
	}
	for _, match := range sourcePattern.FindAllStringSubmatch(result.Metafile, -1) {
		inputs = append(inputs, match[1])
	}
	return files, names, inputs, nil
}

// sourcePattern matches the path of a source within npm's packages in esbuild's
// description of a build.
var sourcePattern = regexp.MustCompile(`"[^"]*node_modules/((?:@[^"/]+/)?[^"/]+)/[^"]*":\s*\{`)

// hashed returns a name with a hash of the content.
func hashed(name string, content []byte) string {
	sum := sha256.Sum256(content)
	extension := filepath.Ext(name)
	return strings.TrimSuffix(name, extension) + "-" + base32.StdEncoding.EncodeToString(sum[:5]) + extension
}

// licenses returns the licenses of the packages that were bundled.
func licenses(modules string, packages []string) ([]byte, error) {
	slices.Sort(packages)
	var all bytes.Buffer
	for _, name := range slices.Compact(packages) {
		found, err := filepath.Glob(filepath.Join(modules, name, "[Ll][Ii][Cc][Ee][Nn][SsCc][Ee]*"))
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("package %s has no license", name)
		}
		content, err := os.ReadFile(found[0])
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&all, "%s\n\n%s\n\n", name, bytes.TrimSpace(content))
	}
	return all.Bytes(), nil
}

// assetPattern matches a reference of the page to a file.
var assetPattern = regexp.MustCompile(`/assets/([A-Za-z0-9_.-]+)`)

// addImages adds the files that a page refers to and that no script imports.
func addImages(sources string, page []byte, files map[string][]byte, names map[string]string) error {
	for _, match := range assetPattern.FindAllSubmatch(page, -1) {
		name := string(match[1])
		if names[name] != "" {
			continue
		}
		content, err := os.ReadFile(filepath.Join(sources, name))
		if err != nil {
			return fmt.Errorf("index.html refers to /assets/%s: %w", name, err)
		}
		names[name] = hashed(name, content)
		files[names[name]] = content
	}
	return nil
}

// link replaces the names of files in a page by those that were built.
func link(page []byte, names map[string]string) []byte {
	return assetPattern.ReplaceAllFunc(page, func(reference []byte) []byte {
		return []byte("/assets/" + names[strings.TrimPrefix(string(reference), "/assets/")])
	})
}

// write writes a build, compressed, and removes the files of former ones.
func write(out string, index []byte, files map[string][]byte) error {
	if err := os.RemoveAll(filepath.Join(out, "assets")); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(out, "assets"), 0o755); err != nil {
		return err
	}
	for name, content := range files {
		if err := writeCompressed(filepath.Join(out, "assets", name), content); err != nil {
			return err
		}
	}
	return writeCompressed(filepath.Join(out, "index.html"), index)
}

func writeCompressed(name string, content []byte) error {
	var packed bytes.Buffer
	writer, err := gzip.NewWriterLevel(&packed, gzip.BestCompression) // its header has no time, so builds are the same
	if err != nil {
		return err
	}
	if _, err := writer.Write(content); err != nil {
		return err
	}
	if err := writer.Close(); err != nil {
		return err
	}
	return os.WriteFile(name+".gz", packed.Bytes(), 0o644)
}
