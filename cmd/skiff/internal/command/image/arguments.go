package image

import (
	"os"
	"strings"

	"github.com/distribution/reference"

	"github.com/skiff-dev/skiff/cmd/skiff/internal/buildkit"
	"github.com/skiff-dev/skiff/cmd/skiff/internal/cli"
	"github.com/skiff-dev/skiff/vm/daemon/daemonapi"
)

// imageNames returns the values of --tag as the kubelet asks for them.
func imageNames(tags []string) ([]string, error) {
	if len(tags) == 0 {
		return nil, cli.Invalid("add -t NAME:TAG", "the image has no name")
	}
	for _, tag := range tags {
		named, err := reference.ParseNormalizedNamed(tag)
		if err != nil {
			return nil, cli.Invalid("use a name such as app:1", "invalid image name %q: %s", tag, err)
		}
		if _, pinned := named.(reference.Digested); pinned {
			return nil, cli.Invalid("use a name such as app:1", "image name %q has a digest, which a build determines", tag)
		}
	}
	return normalized(tags), nil
}

// buildArguments parses the values of --build-arg. A name without a value is looked up
// in the environment, and is left out if it is not there.
func buildArguments(values []string, lookup func(string) (string, bool)) (map[string]string, error) {
	arguments := map[string]string{}
	for _, argument := range values {
		name, value, found := strings.Cut(argument, "=")
		if name == "" {
			return nil, cli.Invalid("use NAME=VALUE", "invalid build argument %q", argument)
		}
		if !found {
			if value, found = lookup(name); !found {
				continue
			}
		}
		arguments[name] = value
	}
	return arguments, nil
}

// buildSecrets parses the values of --secret.
func buildSecrets(values []string) ([]buildkit.Secret, error) {
	var secrets []buildkit.Secret
	for _, text := range values {
		var s buildkit.Secret
		for field := range strings.SplitSeq(text, ",") {
			key, value, _ := strings.Cut(field, "=")
			switch {
			case key == "id":
				s.ID = value
			case key == "src" || key == "source":
				s.File = value
			case key == "env":
				s.Variable = value
			case key == "type" && (value == "file" || value == "env"):
			default:
				return nil, cli.Invalid("use id=ID,src=PATH or id=ID,env=VARIABLE", "invalid secret %q", text)
			}
		}
		if s.ID == "" || (s.File == "") == (s.Variable == "") {
			return nil, cli.Invalid("use id=ID,src=PATH or id=ID,env=VARIABLE", "invalid secret %q", text)
		}
		if s.File != "" {
			if info, err := os.Stat(s.File); err != nil || !info.Mode().IsRegular() {
				return nil, cli.Invalid("", "secret %s: %s is not a file", s.ID, s.File)
			}
		} else if _, set := os.LookupEnv(s.Variable); !set {
			return nil, cli.Invalid("", "secret %s: the variable %s is not set", s.ID, s.Variable)
		}
		secrets = append(secrets, s)
	}
	return secrets, nil
}

func withHint(cause, hint string) error { return &daemonapi.Failure{Cause: cause, Hint: hint} }
