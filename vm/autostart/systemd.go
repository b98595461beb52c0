package autostart

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// systemd returns a Login by units in a directory of systemd's user manager.
func systemd(dir string) Login {
	return Login{
		dir:    dir,
		file:   func(id string) string { return id + ".service" },
		render: unit,
		link: func(id string) string {
			return filepath.Join(dir, "default.target.wants", id+".service")
		},
		reload: reloadSystemd,
	}
}

// reloadSystemd makes the user manager read its units again.
func reloadSystemd(ctx context.Context) error {
	program, err := exec.LookPath("systemctl")
	if err != nil {
		return fmt.Errorf("%w: it has no systemd", ErrUnavailable)
	}
	ctx, cancel := context.WithTimeout(ctx, reloadLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "--user", "daemon-reload").CombinedOutput()
	if err != nil {
		reason := strings.Join(strings.Fields(string(out)), " ")
		if reason == "" {
			reason = err.Error()
		}
		return fmt.Errorf("%w: systemd's user manager does not answer (%s)", ErrUnavailable, reason)
	}
	return nil
}

// unit returns the unit that starts a cluster, as described in systemd.unit(5),
// systemd.service(5) and systemd.exec(5). The login does not wait for the cluster, and the
// cluster is shut down when the user manager ends: after the last logout, unless the user
// lingers, and when the host shuts down. The daemon outlives the command that starts it, and
// it may have started the registry, which other clusters use.
func unit(_, cluster string, c Command) (string, error) {
	if err := check(append([]string{cluster, c.Program}, c.Environment...)...); err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Made by \"skiff autostart on %s\"; \"skiff autostart off %s\" removes it.\n", cluster, cluster)
	fmt.Fprintf(&b, "[Unit]\nDescription=Kubernetes cluster %s (Skiff)\n\n", specifiers(cluster))
	b.WriteString("[Service]\nType=simple\nRemainAfterExit=yes\nKillMode=process\nTimeoutStopSec=10min\n")
	for _, variable := range c.Environment {
		fmt.Fprintf(&b, "Environment=%s\n", quote(variable))
	}
	fmt.Fprintf(&b, "ExecStart=%s\n", commandLine(c.Program, c.Start))
	fmt.Fprintf(&b, "ExecStop=%s\n", commandLine(c.Program, c.Stop))
	b.WriteString("\n[Install]\nWantedBy=default.target\n")
	return b.String(), nil
}

// commandLine returns a command whose words are taken as they are. A colon in front of the
// program turns off the substitution of variables.
func commandLine(program string, arguments []string) string {
	words := []string{":" + quote(program)}
	for _, argument := range arguments {
		words = append(words, quote(argument))
	}
	return strings.Join(words, " ")
}

// quote returns a word in double quotes, in which backslashes and percent signs have no
// meaning.
func quote(word string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(specifiers(word)) + `"`
}

// specifiers returns text in which percent signs have no meaning.
func specifiers(text string) string { return strings.ReplaceAll(text, "%", "%%") }
