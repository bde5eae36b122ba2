"""Las piezas de `bench/difusion.py`: el cliente que cuenta, los servidores que se miden y la tabla."""
