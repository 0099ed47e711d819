package launcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"testing"

	"kvmrun/images"
	"kvmrun/images/fetch"
	"kvmrun/images/store"
	"kvmrun/netplumb"
)

func TestKindOf(t *testing.T) {
	known := fail(KindExists, "", "taken")
	for name, c := range map[string]struct {
		err  error
		want Kind
	}{
		"itself":            {known, KindExists},
		"wrapped":           {fmt.Errorf("more: %w", known), KindExists},
		"joined":            {errors.Join(errors.New("x"), known), KindExists},
		"during":            {during("start web", known), KindExists},
		"wrapped, during":   {during("start web", fmt.Errorf("more: %w", known)), KindExists},
		"stranger":          {errors.New("x"), KindInternal},
		"canceled":          {context.Canceled, KindCanceled},
		"deadline":          {fmt.Errorf("x: %w", context.DeadlineExceeded), KindTimeout},
		"image":             {&images.Error{Kind: images.ErrEmpty}, KindImage},
		"image, permission": {&images.Error{Kind: images.ErrPermission}, KindPermission},
		"image in use":      {&images.Error{Kind: images.ErrInUse}, KindImageInUse},
		"no such image":     {&images.Error{Kind: store.ErrNoImage}, KindNotFound},
		"image exists":      {&images.Error{Kind: store.ErrExists}, KindExists},
		"image name":        {&images.Error{Kind: store.ErrName}, KindUsage},
		"image record":      {&images.Error{Kind: store.ErrRecord}, KindStorage},
		"no qemu-img":       {&images.Error{Kind: store.ErrNoConverter}, KindHost},
		"download":          {&fetch.Error{Source: "https://h/a", Kind: fetch.ErrNotFound}, KindFetch},
		"wrong checksum":    {&fetch.Error{Source: "disk.img", Kind: fetch.ErrChecksum}, KindFetch},
		"no checksum":       {&fetch.Error{Source: "https://h/a", Kind: fetch.ErrUnchecked}, KindUsage},
		"no local file":     {&fetch.Error{Source: "disk.img.xz", Kind: fetch.ErrNotFound}, KindImage},
		"secret file":       {&fetch.Error{Source: "disk.img.xz", Kind: fetch.ErrForbidden}, KindPermission},
		"secret download":   {&fetch.Error{Source: "https://h/a", Kind: fetch.ErrForbidden}, KindFetch},
		"no room for it":    {&fetch.Error{Source: "https://h/a", Kind: fetch.ErrNoSpace}, KindStorage},
		"bad archive":       {&fetch.Error{Source: "https://h/a", Kind: fetch.ErrArchive}, KindImage},
		"image changed":     {&images.Error{Kind: store.ErrChanged}, KindImage},
		"no tun":            {netplumb.ErrNoTun, KindHost},
		"net permission":    {netplumb.ErrPermission, KindPermission},
		"address":           {fmt.Errorf("x: %w", netplumb.ErrAddressInvalid), KindAddress},
		"address on host":   {netplumb.ErrAddressOnHost, KindAddress},
		"subnet full":       {netplumb.ErrSubnetFull, KindAddress},
		"overlap":           {netplumb.ErrSubnetOverlap, KindNetwork},
		"uplink":            {netplumb.ErrNoUplink, KindNetwork},
		"tap":               {netplumb.ErrTapExists, KindNetwork},
		"full disk":         {&os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, KindStorage},
		"quota":             {syscall.EDQUOT, KindStorage},
		"below a file":      {&os.PathError{Op: "open", Path: "x", Err: syscall.ENOTDIR}, KindStorage},
		"read-only":         {syscall.EROFS, KindStorage},
		"permission":        {fs.ErrPermission, KindPermission},
	} {
		if got := KindOf(c.err); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// The reason of a failed VM is a text that has its advice in it.
func TestAdviceIsGivenOnce(t *testing.T) {
	reason := (&Error{Kind: KindQEMU, Err: errors.New("QEMU ended"), Advice: "see kvmrun logs d"}).Error()
	err := during("console of d", fail(KindEnded, "see kvmrun logs d", "the VM has ended: %s", reason))
	if got, want := err.Error(), "console of d: the VM has ended: QEMU ended; see kvmrun logs d"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDuringNamesTheAttemptOnce(t *testing.T) {
	cause := errors.New("it is Sunday")
	err := during("stop", during("start web", &Error{Kind: KindHost, Err: cause, Advice: "wait"}))
	if got, want := err.Error(), "start web: it is Sunday; wait"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(err, cause) {
		t.Error("the cause is lost")
	}
	if during("start", nil) != nil {
		t.Error("an error out of nothing")
	}
	if got := during("start web", cause).Error(); got != "start web: it is Sunday" {
		t.Errorf("got %q", got)
	}
}

// A supervisor's errors travel to the starting process as JSON.
func TestErrorsSurviveTheWay(t *testing.T) {
	kinds := []Kind{KindInternal, KindUsage, KindNotFound, KindExists, KindPermission, KindHost, KindImage, KindImageInUse,
		KindAddress, KindNetwork, KindQEMU, KindTimeout, KindStorage, KindEnded, KindCanceled}
	for _, kind := range kinds {
		sent := &Error{Kind: kind, Op: "start web", Err: errors.New("line\n\x00\"quoted\" <&>"), Advice: "wait"}
		text, err := json.Marshal(sent)
		if err != nil {
			t.Fatal(err)
		}
		var got *Error
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if KindOf(got) != kind || got.Error() != sent.Error() || got.Op != sent.Op || got.Advice != sent.Advice {
			t.Errorf("%s became %+v by way of %s", kind, got, text)
		}
	}
	var e Error
	for _, text := range []string{"", "[]", `{"kind": 1}`} {
		if err := json.Unmarshal([]byte(text), &e); err == nil {
			t.Errorf("%q is read as %+v", text, e)
		}
	}
}
