package skill

// Visible returns a text in which each character can be seen, as Show returns the values.
func Visible(text string) string {
	shown, _ := visible(text)
	return shown
}
