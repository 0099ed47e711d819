package picture

import (
	"bytes"
	"image/color"
	"strings"
	"testing"
)

func TestDecode(t *testing.T) {
	p, err := Decode(strings.NewReader("P6\n2 1\n255\n\x01\x02\x03\xff\x00\x0aand more"))
	if err != nil {
		t.Fatal(err)
	}
	if b := p.Bounds(); b.Dx() != 2 || b.Dy() != 1 {
		t.Errorf("it is %v", b)
	}
	if got := p.At(0, 0); got != (color.RGBA{1, 2, 3, 255}) {
		t.Errorf("the first pixel is %v", got)
	}
	if got := p.At(1, 0); got != (color.RGBA{255, 0, 10, 255}) {
		t.Errorf("the second pixel is %v", got)
	}
}

// bad are files that are no pictures.
var bad = []string{
	"", "P6", "P5\n1 1\n255\n\x00\x00\x00", "P6\n1 1\n255\n\x00\x00", "P6\n0 1\n255\n", "P6\n1 0\n255\n", "P6\n-1 -1\n255\n\x00\x00\x00",
	"P6\n1 1\n65535\n\x00\x00\x00\x00\x00\x00", "P6\n4294967296 4294967296\n255\n", "P6\n9223372036854775807 3\n255\n", "P6\n67108864 2\n255\n",
	"P6\n99999999999999999999 1\n255\n", "\x89PNG\r\n\x1a\n",
}

func TestDecodeRefuses(t *testing.T) {
	for _, text := range bad {
		if p, err := Decode(strings.NewReader(text)); err == nil {
			t.Errorf("%.40q is taken for a picture of %v", text, p.Bounds())
		}
	}
}

// FuzzDecode: a picture takes no more memory than its file has bytes for.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("P6\n2 1\n255\n\x01\x02\x03\xff\x00\x0a"))
	for _, text := range bad {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Decode(bytes.NewReader(text))
		if err != nil {
			return
		}
		if b := p.Bounds(); 3*b.Dx()*b.Dy() > len(text) || b.Empty() {
			t.Errorf("%d bytes make a picture of %v", len(text), b)
		}
	})
}
