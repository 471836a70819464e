"""What people do with maps: pages to look at. Works from images and saved maps, without torch."""
