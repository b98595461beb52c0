package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/skiff-dev/skiff/kube/object"
)

// acceptTable requests the table format, with the server's columns.
const acceptTable = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

// maxPage bounds the response to a list request, in bytes.
const maxPage = 256 << 20

// maxCell bounds one cell, in bytes.
const maxCell = 1024

// wireTable holds the decoded fields of a metav1.Table, or of the metav1.Status
// that a server sends instead.
type wireTable struct {
	Kind     string `json:"kind"`
	Metadata struct {
		ResourceVersion string `json:"resourceVersion"`
		Continue        string `json:"continue"`
	} `json:"metadata"`
	ColumnDefinitions []struct {
		Name     string `json:"name"`
		Priority int    `json:"priority"`
	} `json:"columnDefinitions"`
	Rows []wireRow `json:"rows"`
	// Fields of a Status.
	Message string `json:"message"`
	Reason  string `json:"reason"`
	Code    int    `json:"code"`
}

type wireRow struct {
	Cells  []any `json:"cells"`
	Object struct {
		Metadata struct {
			Name              string            `json:"name"`
			Namespace         string            `json:"namespace"`
			UID               string            `json:"uid"`
			ResourceVersion   string            `json:"resourceVersion"`
			Labels            map[string]string `json:"labels"`
			CreationTimestamp time.Time         `json:"creationTimestamp"`
			DeletionTimestamp *time.Time        `json:"deletionTimestamp"`
			OwnerReferences   []struct {
				UID        string `json:"uid"`
				Controller bool   `json:"controller"`
			} `json:"ownerReferences"`
		} `json:"metadata"`
		// Only set for nodes, which are requested as full objects.
		Spec struct {
			Taints []struct {
				Key    string `json:"key"`
				Value  string `json:"value"`
				Effect string `json:"effect"`
			} `json:"taints"`
		} `json:"spec"`
		Status wireStatus `json:"status"`
	} `json:"object"`
}

type wireStatus struct {
	Conditions []struct {
		Type    string `json:"type"`
		Status  string `json:"status"`
		Reason  string `json:"reason"`
		Message string `json:"message"`
	} `json:"conditions"`
}

// wireEvent is a watch event.
type wireEvent struct {
	Type   string    `json:"type"`
	Object wireTable `json:"object"`
}

// errNoTable is returned for a response in another format.
var errNoTable = errors.New("the server did not send a table")

// decodeTable reads the response to a list request.
func decodeTable(in io.Reader) (wireTable, error) {
	var t wireTable
	if err := json.NewDecoder(io.LimitReader(in, maxPage)).Decode(&t); err != nil {
		return t, fmt.Errorf("decode the table: %w", err)
	}
	if t.Kind != "Table" {
		return t, errNoTable
	}
	return t, nil
}

func (t wireTable) columns() []object.Column {
	columns := make([]object.Column, len(t.ColumnDefinitions))
	for i, d := range t.ColumnDefinitions {
		columns[i] = object.Column{Name: oneLine(d.Name), Wide: d.Priority > 0}
	}
	return columns
}

func (w *wireRow) row(cluster string, now time.Time) *object.Row {
	m := w.Object.Metadata
	r := &object.Row{
		Cluster: cluster, Namespace: m.Namespace, Name: m.Name, UID: m.UID, Labels: m.Labels,
		Created: m.CreationTimestamp, Deleting: m.DeletionTimestamp != nil, Read: now,
		Cells: make([]string, len(w.Cells)),
	}
	for _, o := range m.OwnerReferences {
		if o.Controller || r.Owner == "" {
			r.Owner = o.UID
		}
	}
	for _, t := range w.Object.Spec.Taints {
		text := oneLine(t.Key)
		if t.Value != "" {
			text += "=" + oneLine(t.Value)
		}
		r.Taints = append(r.Taints, text+":"+oneLine(t.Effect))
	}
	for _, c := range w.Object.Status.Conditions {
		r.Conditions = append(r.Conditions, object.Condition{Type: oneLine(c.Type), Status: oneLine(c.Status), Reason: oneLine(c.Reason), Message: oneLine(c.Message)})
	}
	for i, cell := range w.Cells {
		r.Cells[i] = cellText(cell)
	}
	return r
}

// cellText formats a cell of a table.
func cellText(cell any) string {
	switch v := cell.(type) {
	case nil:
		return ""
	case string:
		return oneLine(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	}
	encoded, err := json.Marshal(cell)
	if err != nil {
		return ""
	}
	return oneLine(string(encoded))
}

// oneLine makes text from the cluster safe to display: it limits its length,
// replaces line breaks and tabs by spaces and removes control characters.
func oneLine(text string) string {
	if len(text) > maxCell {
		text = text[:maxCell] + "…"
	}
	clean := true
	for i := range len(text) {
		if text[i] < ' ' || text[i] >= 0x7f {
			clean = false
			break
		}
	}
	if clean {
		return text
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r) || r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, text)
}
