"""`gate-maps`: where several networks look in one picture, epoch by epoch, held against the true place."""
