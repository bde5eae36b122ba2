"""Plaza entera con una orden: sus servidores, sus procesos web y su obrero, y quien los cuida (`taller proyecto`)."""
