package autostart

import (
	"context"
	"encoding/xml"
	"fmt"
	"strings"
)

// launchd returns a Login by agents in a directory of launchd, which reads them at login.
func launchd(dir string) Login {
	return Login{
		dir:    dir,
		file:   func(id string) string { return label(id) + ".plist" },
		render: agent,
		reload: func(context.Context) error { return nil },
	}
}

func label(id string) string { return "dev.skiff." + id }

// agent returns the property list that starts a cluster, as described in launchd.plist(5).
// The daemon outlives the command that starts it.
func agent(id, cluster string, c Command) (string, error) {
	if err := check(append([]string{cluster, c.Program, c.Log}, c.Environment...)...); err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(xml.Header)
	b.WriteString(`<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">` + "\n")
	b.WriteString("<plist version=\"1.0\">\n<dict>\n")
	fmt.Fprintf(&b, "\t<key>Label</key>\n\t%s\n", text(label(id)))
	b.WriteString("\t<key>ProgramArguments</key>\n\t<array>\n")
	for _, word := range append([]string{c.Program}, c.Start...) {
		fmt.Fprintf(&b, "\t\t%s\n", text(word))
	}
	b.WriteString("\t</array>\n\t<key>EnvironmentVariables</key>\n\t<dict>\n")
	for _, variable := range c.Environment {
		name, value, _ := strings.Cut(variable, "=")
		fmt.Fprintf(&b, "\t\t<key>%s</key>\n\t\t%s\n", escape(name), text(value))
	}
	b.WriteString("\t</dict>\n\t<key>RunAtLoad</key>\n\t<true/>\n\t<key>AbandonProcessGroup</key>\n\t<true/>\n")
	for _, stream := range []string{"StandardOutPath", "StandardErrorPath"} {
		fmt.Fprintf(&b, "\t<key>%s</key>\n\t%s\n", stream, text(c.Log))
	}
	b.WriteString("</dict>\n</plist>\n")
	return b.String(), nil
}

func text(value string) string { return "<string>" + escape(value) + "</string>" }

func escape(value string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(value)) // writing to a strings.Builder cannot fail
	return b.String()
}
