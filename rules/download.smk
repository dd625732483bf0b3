"""Files that `downloads` of the config names, fetched where a rule needs one and it is absent."""

if CFG.downloads:

    localrules:
        download,

    # No code digest: an edited library fetches nothing again; the checksum says what the file is.
    # Nor size and checksum: those of the log, put into the config, fetch nothing again.
    rule download:
        output:
            "{file}",
        log:
            log_of("download/{file}"),
        benchmark:
            bench("download/{file}")
        wildcard_constraints:
            file="|".join(map(re.escape, CFG.downloads)),
        conda:
            "../envs/corpus.yaml"
        threads: 1
        resources:
            mem_mb=memory(1000),
            runtime=runtime(1440),
        params:
            url=lambda w: CFG.downloads[w.file].url,
        script:
            "../workflow/scripts/download.py"
