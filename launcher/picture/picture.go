// Package picture reads the pictures that QEMU makes of a guest's screen. What is in them
// is the guest's, and the file is QEMU's, which a guest may have taken over.
package picture

import (
	"bufio"
	"errors"
	"fmt"
	"image"
	"io"
)

// MaxSize is how large a picture may be, in bytes: more than any of QEMU's.
const MaxSize = 64 << 20

// errNone says that a file is no picture.
var errNone = errors.New("not a picture of QEMU's")

// Decode reads a picture in the form PPM with 8 bits a colour (ppm(5)), as QEMU writes it
// without being asked for another (ui/console.c). What follows it is not read.
func Decode(r io.Reader) (image.Image, error) {
	in := bufio.NewReader(io.LimitReader(r, MaxSize))
	var width, height, most int
	if _, err := fmt.Fscanf(in, "P6\n%d %d\n%d\n", &width, &height, &most); err != nil {
		return nil, fmt.Errorf("%w: %w", errNone, err)
	}
	const colours = 3
	if width < 1 || height < 1 || most != 255 || width > MaxSize || height > MaxSize/colours/width {
		return nil, fmt.Errorf("%w: %d by %d, %d shades", errNone, width, height, most)
	}
	picture := image.NewRGBA(image.Rect(0, 0, width, height))
	row := make([]byte, width*colours)
	for y := range height {
		if _, err := io.ReadFull(in, row); err != nil {
			return nil, fmt.Errorf("%w: cut short: %w", errNone, err)
		}
		line := picture.Pix[y*picture.Stride:]
		for x := range width {
			copy(line[4*x:], row[colours*x:colours*(x+1)])
			line[4*x+3] = 0xff // nothing shines through
		}
	}
	return picture, nil
}
