import java.util.TreeMap;
import org.apache.kafka.common.config.ConfigDef.ConfigKey;
import org.apache.kafka.storage.internals.log.LogConfig;

/** Prints the settings of a topic, one a line: name, type, default, and what values it takes. */
public class Keys {
    public static void main(String[] arguments) {
        for (ConfigKey key : new TreeMap<>(LogConfig.configDefCopy().configKeys()).values()) {
            System.out.println(key.name + "\t" + key.type + "\t" + key.defaultValue + "\t" + key.validator);
        }
    }
}
